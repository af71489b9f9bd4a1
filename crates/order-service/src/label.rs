//! Names that merchants give: buyers, goods, shops, warehouses.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// The longest label, in bytes.
const MAX_LENGTH: usize = 128;

/// A name of the merchant's own: 1 to 128 bytes of UTF-8 without control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Label(String);

/// A text that is no label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected 1 to {MAX_LENGTH} bytes without control characters, got {0} bytes")]
pub struct InvalidLabel(usize);

impl Label {
    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = InvalidLabel;

    fn from_str(text: &str) -> Result<Self, InvalidLabel> {
        let valid = (1..=MAX_LENGTH).contains(&text.len()) && !text.contains(char::is_control);
        valid.then(|| Self(text.to_owned())).ok_or(InvalidLabel(text.len()))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_and_refuses_what_postgres_or_a_log_cannot_hold() {
        for text in ["a", "红茶 500g", &"x".repeat(128)] {
            assert_eq!(text.parse::<Label>().unwrap().as_str(), text);
        }
        for text in ["", "a\0b", "a\nb", &"x".repeat(129)] {
            assert!(text.parse::<Label>().is_err(), "{text:?}");
        }
    }
}
