//! JSON bodies, by the whole grammar of proto3 JSON (<https://protobuf.dev/programming-guides/json>): `null` is a field that
//! is not set, whole numbers may be texts and have exponents, unknown fields are ignored.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::DecodeError;

/// What some writers put before UTF-8. It says nothing, and JSON has no place for it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The fields of 64 bits, under both of their names.
const WHOLE_NUMBERS: [&str; 5] =
    ["version", "amountMinor", "amount_minor", "refundedMinor", "refunded_minor"];
/// Digits of a number with its exponent written out. `i64` has 19.
const MAX_DIGITS: usize = 32;

/// A JSON body: the fields of an object that are set, or another value.
pub(super) enum Json {
    Fields(Map<String, Value>),
    Value(Value),
}

/// `body` without a byte order mark.
pub(super) fn unmarked(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)
}

/// Reads a body. Whole numbers of an object come out as numbers, however they are written.
pub(super) fn read(body: &[u8]) -> Result<Json, DecodeError> {
    let raw: &RawValue = serde_json::from_slice(unmarked(body)).map_err(DecodeError::undecodable)?;
    if !raw.get().starts_with('{') {
        return Ok(Json::Value(value(raw)?));
    }
    let Fields(fields) =
        serde_json::from_str(raw.get()).map_err(|error| DecodeError::Invalid(error.to_string()))?;
    let mut read = Map::new();
    for (name, raw) in fields {
        if raw.get() != "null" {
            let value = field(&name, raw)?;
            read.insert(name, value);
        }
    }
    Ok(Json::Fields(read))
}

fn field(name: &str, raw: &RawValue) -> Result<Value, DecodeError> {
    let value = value(raw)?;
    let number = match &value {
        Value::String(text) if WHOLE_NUMBERS.contains(&name) => whole_number(text),
        // Enums may be whole numbers, too. What else is a number belongs to no field that we know.
        Value::Number(_) => whole_number(raw.get()),
        _ => None,
    };
    match number {
        Some(number) => Ok(number.into()),
        None if WHOLE_NUMBERS.contains(&name) => Err(DecodeError::Invalid(format!(
            "{name}: expected a whole number of 64 bits, or a string that holds one, got {:.80}",
            raw.get()
        ))),
        None => Ok(value),
    }
}

fn value(raw: &RawValue) -> Result<Value, DecodeError> {
    serde_json::from_str(raw.get()).map_err(DecodeError::undecodable)
}

/// The whole number that a decimal text means, exactly: `1999`, `1999.0`, `1.999e3`.
fn whole_number(text: &str) -> Option<i64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let (sign, whole) = match whole.strip_prefix('-') {
        Some(whole) => ("-", whole),
        None => ("", whole.strip_prefix('+').unwrap_or(whole)),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    let zeros = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let digits = match usize::try_from(zeros) {
        Ok(zeros) if zeros <= MAX_DIGITS => format!("{digits}{}", "0".repeat(zeros)),
        Ok(_) => return None,
        // The exponent takes digits away; they must be zeros.
        Err(_) => {
            let dropped = usize::try_from(zeros.unsigned_abs()).ok()?;
            let (kept, dropped) = digits.split_at_checked(digits.len().checked_sub(dropped)?)?;
            dropped.bytes().all(|byte| byte == b'0').then(|| kept.to_owned())?
        }
    };
    format!("{sign}{digits}").parse().ok()
}

/// The fields of an object, each once: of two that contradict each other neither is believed.
struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfObject;
        impl<'de> Visitor<'de> for OfObject {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((name, value)) = object.next_entry::<String, &'de RawValue>()? {
                    if let Some(_earlier) = fields.insert(name.clone(), value) {
                        return Err(A::Error::custom(format_args!("{name:.80}: the field is there twice")));
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(OfObject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_exactly_in_every_spelling() {
        for (text, number) in [
            ("0", 0),
            ("-0", 0),
            ("0.0", 0),
            ("0e400", 0),
            ("1999", 1999),
            ("+1999", 1999),
            ("-5", -5),
            ("1999.0", 1999),
            ("1.999e3", 1999),
            ("1.999E+3", 1999),
            ("199900e-2", 1999),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("9007199254740993.0", 9_007_199_254_740_993),
            ("9.223372036854775807e18", i64::MAX),
        ] {
            assert_eq!(whole_number(text), Some(number), "{text}");
        }
        for text in [
            "",
            "-",
            ".5",
            "5.",
            "1e",
            "e5",
            "1.5",
            "1999e-1",
            "1e-1",
            "9223372036854775808",
            "1e19",
            "1e400",
            "1e99999999999999999999",
            "0x10",
            "1 ",
            " 1",
            "NaN",
            "Infinity",
            "1_000",
            "--1",
            "\u{661}",
        ] {
            assert_eq!(whole_number(text), None, "{text}");
        }
    }
}
