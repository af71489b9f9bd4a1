//! `google.protobuf.Timestamp`, as protobuf and as proto3 JSON
//! (<https://protobuf.dev/reference/protobuf/google.protobuf/#timestamp>).

use std::fmt;
use std::ops::RangeInclusive;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Error as _, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::quoted;

/// The years that the type covers, as seconds since 1970: `0001-01-01T00:00:00Z` to `9999-12-31T23:59:59Z`.
const SECONDS: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const NANOS_PER_SECOND: i32 = 1_000_000_000;
/// Where RFC 3339 has its `T`; it also allows a small letter or a space.
const SEPARATOR: usize = "2026-01-01".len();

/// An instant. What was decoded from protobuf may be out of range.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub(super) struct Timestamp {
    /// Since 1970-01-01T00:00:00Z; negative before.
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    /// Fraction of the second, which always counts forward: 0 to 999,999,999.
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

impl Timestamp {
    /// The instant; `None` if it is out of the type's range.
    pub(super) fn to_time(self) -> Option<OffsetDateTime> {
        if !SECONDS.contains(&self.seconds) || !(0..NANOS_PER_SECOND).contains(&self.nanos) {
            return None;
        }
        let nanos = i128::from(self.seconds) * i128::from(NANOS_PER_SECOND) + i128::from(self.nanos);
        OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()
    }

    /// Reads RFC 3339 with any offset. Digits beyond nanoseconds are dropped; a leap second is the end of the second before it.
    fn parse(text: &str) -> Option<Self> {
        let separator = text.as_bytes().get(SEPARATOR)?;
        let time = OffsetDateTime::parse(text, &Rfc3339).ok().filter(|_| b"Tt ".contains(separator))?;
        Some(Self::from(time)).filter(|timestamp| SECONDS.contains(&timestamp.seconds))
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(time: OffsetDateTime) -> Self {
        let nanos = time.nanosecond().try_into().expect("a second has 10^9 nanoseconds");
        Self { seconds: time.unix_timestamp(), nanos }
    }
}

/// RFC 3339 in UTC with 0, 3, 6 or 9 digits of a fraction, as few as hold it.
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = self
            .to_time()
            .ok_or_else(|| S::Error::custom(format_args!("expected years 0001 to 9999, got {self:?}")))?;
        let (year, month, day) = time.to_calendar_date();
        let (hour, minute, second) = time.to_hms();
        let month = u8::from(month);
        let fraction = match self.nanos {
            0 => String::new(),
            nanos if nanos % 1_000_000 == 0 => format!(".{:03}", nanos / 1_000_000),
            nanos if nanos % 1_000 == 0 => format!(".{:06}", nanos / 1_000),
            nanos => format!(".{nanos:09}"),
        };
        serializer.collect_str(&format_args!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"
        ))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfText;
        impl Visitor<'_> for OfText {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time by RFC 3339 in the years 0001 to 9999")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
                Timestamp::parse(text).ok_or_else(|| {
                    E::custom(format_args!("expected {}, got {}", &self as &dyn de::Expected, quoted(text)))
                })
            }
        }
        deserializer.deserialize_str(OfText)
    }
}

#[cfg(test)]
mod tests;
