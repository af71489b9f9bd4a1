use proptest::prelude::*;
use prost::Message as _;
use serde_json::json;

use super::*;

fn timestamp(seconds: i64, nanos: i32) -> Timestamp {
    Timestamp { seconds, nanos }
}

fn read(text: &str) -> Result<Timestamp, serde_json::Error> {
    serde_json::from_value(json!(text))
}

/// The first and the last instant, and every count of digits.
const WRITTEN: [(&str, i64, i32); 10] = [
    ("1970-01-01T00:00:00Z", 0, 0),
    ("1969-12-31T23:59:59.999999999Z", -1, 999_999_999),
    ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
    ("9999-12-31T23:59:59.999999999Z", 253_402_300_799, 999_999_999),
    ("2024-02-29T12:34:56Z", 1_709_210_096, 0),
    ("2026-01-01T00:00:00.500Z", 1_767_225_600, 500_000_000),
    ("2026-01-01T00:00:00.001Z", 1_767_225_600, 1_000_000),
    ("2026-01-01T00:00:00.001001Z", 1_767_225_600, 1_001_000),
    ("2026-01-01T00:00:00.000001Z", 1_767_225_600, 1_000),
    ("2026-01-01T00:00:00.000000001Z", 1_767_225_600, 1),
];

#[test]
fn times_are_written_in_utc_with_as_few_groups_of_digits_as_hold_them() {
    for (text, seconds, nanos) in WRITTEN {
        assert_eq!(json!(timestamp(seconds, nanos)), json!(text));
        assert_eq!(read(text).unwrap(), timestamp(seconds, nanos));
    }
}

#[test]
fn times_are_read_with_any_offset_and_any_number_of_digits() {
    let noon = timestamp(1_767_268_800, 0);
    for text in [
        "2026-01-01T12:00:00Z",
        "2026-01-01T12:00:00.000Z",
        "2026-01-01t12:00:00z",
        "2026-01-01 12:00:00Z",
        "2026-01-01T12:00:00+00:00",
        "2026-01-01T12:00:00-00:00",
        "2026-01-01T20:00:00+08:00",
        "2026-01-01T17:45:00+05:45",
        "2026-01-02T11:59:00+23:59",
        "2025-12-31T12:01:00-23:59",
        "2026-01-01T12:00:00.000000000999Z",
    ] {
        assert_eq!(read(text).unwrap(), noon, "{text}");
    }
    assert_eq!(read("2026-01-01T12:00:00.1Z").unwrap(), timestamp(noon.seconds, 100_000_000));
    assert_eq!(read("2026-01-01T12:00:00.12345Z").unwrap(), timestamp(noon.seconds, 123_450_000));
    assert_eq!(read("2016-12-31T23:59:60Z").unwrap(), timestamp(1_483_228_799, 999_999_999));
}

#[test]
fn what_is_no_time_or_out_of_range_is_refused() {
    for text in [
        "",
        "2026-01-01",
        "2026-01-01T12:00:00",
        "2026-01-01T12:00Z",
        "2026-01-01x12:00:00Z",
        "2026-01-01\u{e9}12:00:00Z",
        "2026-01-01T12:00:00.Z",
        "2026-01-01T12:00:00,5Z",
        "2026-01-01T12:00:00+0800",
        "2026-01-01T12:00:00+24:00",
        "2026-01-01T12:00:00 UTC",
        "2026-02-29T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T12:00:60Z",
        " 2026-01-01T12:00:00Z",
        "2026-01-01T12:00:00Z ",
        "0000-12-31T23:59:59Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "10000-01-01T00:00:00Z",
        "-2026-01-01T12:00:00Z",
        "1767268800",
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains("RFC 3339") && error.contains(&format!("{text:?}")), "{text}: {error}");
    }
    let long = read(&"9".repeat(60_000)).unwrap_err().to_string();
    assert!(long.len() < 200, "an error that quotes {} bytes", long.len());
    assert!(serde_json::from_value::<Timestamp>(json!(1_767_268_800)).is_err());
}

#[test]
fn what_is_out_of_range_is_not_written() {
    for (seconds, nanos) in [
        (-62_135_596_801, 999_999_999),
        (253_402_300_800, 0),
        (i64::MIN, 0),
        (i64::MAX, 0),
        (0, -1),
        (0, 1_000_000_000),
    ] {
        let wrong = timestamp(seconds, nanos);
        assert_eq!(wrong.to_time(), None, "{wrong:?}");
        let error = serde_json::to_value(wrong).unwrap_err().to_string();
        assert!(error.contains("0001 to 9999"), "{wrong:?}: {error}");
    }
}

#[test]
fn the_protobuf_is_two_numbers_and_omits_zeros() {
    for (seconds, nanos, hex) in [
        (0, 0, ""),
        (1, 0, "0801"),
        (0, 1, "1001"),
        (1_767_225_600, 500_000_000, "0880f2d6ca0610 80cab5ee01"),
        (-1, 0, "08ffffffffffffffffff01"),
    ] {
        let bytes = hex::decode(hex.replace(' ', "")).unwrap();
        assert_eq!(timestamp(seconds, nanos).encode_to_vec(), bytes, "{hex}");
        assert_eq!(Timestamp::decode(&bytes[..]).unwrap(), timestamp(seconds, nanos), "{hex}");
    }
}

proptest! {
    #[test]
    fn every_time_survives(seconds in SECONDS, nanos in 0..NANOS_PER_SECOND, offset in -86_399..=86_399_i32) {
        let written = timestamp(seconds, nanos);
        let text = serde_json::to_string(&written).unwrap();
        prop_assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), written);
        let time = written.to_time().unwrap();
        prop_assert_eq!(Timestamp::from(time), written);
        let elsewhere = time.checked_to_offset(time::UtcOffset::from_whole_seconds(offset).unwrap());
        prop_assert_eq!(elsewhere.map_or(written, Timestamp::from), written);
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,40}") {
        let _ = read(&text);
    }
}
