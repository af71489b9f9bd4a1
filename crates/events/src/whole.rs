//! Whole numbers in JSON.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// The largest number up to which a float holds every whole number exactly: 2⁵³.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// A whole number of JSON, however it is written. JSON has one sort of numbers (RFC 8259, section 6), and for JSON Schema `1999.0` and
/// `1.999e3` are integers as `1999` is. What has a fraction, or is too large to be exact, is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole(pub i64);

impl Whole {
    /// For `#[serde(deserialize_with = "Whole::read")]`.
    pub fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        Self::deserialize(deserializer).map(|whole| whole.0)
    }

    /// The same for what may be absent or `null`; give it `default` as well.
    pub fn read_optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        Option::<Self>::deserialize(deserializer).map(|whole| whole.map(|whole| whole.0))
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(WholeVisitor).map(Self)
    }
}

struct WholeVisitor;

impl Visitor<'_> for WholeVisitor {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of at most 64 bits")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<i64, E> {
        Ok(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<i64, E> {
        i64::try_from(value).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<i64, E> {
        let whole = if value.abs() <= MAX_EXACT && value.fract() == 0.0 {
            // By its digits, for a cast would round without a word.
            format!("{value:.0}").parse().ok()
        } else {
            None
        };
        whole.ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<i64, serde_json::Error> {
        serde_json::from_str::<Whole>(text).map(|whole| whole.0)
    }

    #[test]
    fn a_whole_number_may_be_written_in_every_way_that_json_has() {
        for (text, expected) in [
            ("1999", 1999),
            ("1999.0", 1999),
            ("1.999e3", 1999),
            ("19990E-1", 1999),
            ("-0.0", 0),
            ("-5.0", -5),
            ("9007199254740992.0", 9_007_199_254_740_992),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_field_may_be_one_and_where_it_may_be_absent_it_may_be_null() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct Amounts {
            #[serde(deserialize_with = "Whole::read")]
            amount: i64,
            #[serde(default, deserialize_with = "Whole::read_optional")]
            refunded: Option<i64>,
        }
        for (text, refunded) in [
            (r#"{"amount": 19.0, "refunded": 7.0}"#, Some(7)),
            (r#"{"amount": 19, "refunded": null}"#, None),
            (r#"{"amount": 19}"#, None),
        ] {
            assert_eq!(serde_json::from_str::<Amounts>(text).unwrap(), Amounts { amount: 19, refunded });
        }
        assert!(serde_json::from_str::<Amounts>(r#"{"amount": null}"#).is_err());
    }

    #[test]
    fn what_is_not_whole_or_not_exact_is_refused() {
        for text in [
            "19.99",
            "1e-1",
            "9007199254740994.0",
            "1e300",
            "9223372036854775808",
            "\"1999\"",
            "null",
            "true",
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("a whole number"), "{text}: {error}");
        }
    }
}
