//! What arguments of several commands are read from.

use std::time::Duration;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A time in RFC 3339, or as `90s`, `15m`, `2h` or `3d` ago.
pub(crate) fn parse_when(text: &str) -> Result<OffsetDateTime, String> {
    let ago =
        || OffsetDateTime::now_utc().checked_sub(time::Duration::try_from(parse_duration(text).ok()?).ok()?);
    let time = OffsetDateTime::parse(text, &Rfc3339).ok().or_else(ago);
    time.ok_or_else(|| "expected RFC 3339, such as 2026-01-01T00:00:00Z, or 2h for two hours ago".to_owned())
}

/// A whole number of seconds, minutes, hours or days: `90s`, `15m`, `24h`, `3d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let unit_seconds = [("s", 1), ("m", 60), ("h", 3600), ("d", 24 * 3600)];
    let seconds = unit_seconds.into_iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(seconds)
    });
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| "expected a duration such as 90s, 15m, 24h or 3d".to_owned())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("15m", 900), ("24h", 86_400), ("3d", 259_200)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "24", "h", "-1h", "1.5h", "24 h", "99999999999999999999d", "9999999999999999d"] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_time_is_given_or_counted_back() {
        assert_eq!(parse_when("2026-01-02T03:04:05Z"), Ok(datetime!(2026-01-02 03:04:05 UTC)));
        let ago = OffsetDateTime::now_utc() - parse_when("2h").unwrap();
        assert!((ago - time::Duration::hours(2)).abs() < time::Duration::minutes(1), "{ago}");
        for text in ["", "yesterday", "2026-01-02", "99999999999d"] {
            assert!(parse_when(text).is_err(), "{text:?}");
        }
    }
}
