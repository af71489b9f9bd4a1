//! How much of a listing is wanted.

use serde::Deserialize;
use thiserror::Error;

const DEFAULT: u16 = 100;
const MAX: u16 = 1000;

/// How many entries of a listing are wanted: 1 to 1000, by default 100. What is out of these bounds is refused as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Limit(u16);

/// The query of a listing that takes nothing else.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// How many entries at most.
    #[serde(default)]
    pub limit: Limit,
}

/// A limit below 1 or above 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("limit: expected 1 to {MAX}, got {0}")]
pub struct InvalidLimit(i64);

impl Limit {
    /// The largest.
    pub const MOST: Self = Self(MAX);

    /// The number, as statements take it.
    pub fn get(self) -> i64 {
        self.0.into()
    }

    /// The number, as lists take it.
    pub fn as_usize(self) -> usize {
        self.0.into()
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl TryFrom<i64> for Limit {
    type Error = InvalidLimit;

    fn try_from(limit: i64) -> Result<Self, InvalidLimit> {
        let in_bounds = u16::try_from(limit).ok().filter(|limit| (1..=MAX).contains(limit));
        in_bounds.map(Self).ok_or(InvalidLimit(limit))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_limit_outside_its_bounds_is_refused_by_name() {
        let read = |query| serde_json::from_value::<Listing>(query).map(|listing| listing.limit.get());
        for (query, limit) in [
            (json!({}), 100),
            (json!({"limit": 1}), 1),
            (json!({"limit": 7}), 7),
            (json!({"limit": 1000}), 1000),
        ] {
            assert_eq!(read(query).unwrap(), limit);
        }
        for limit in [i64::MIN, -1, 0, 1001, i64::MAX] {
            let refused = read(json!({ "limit": limit })).unwrap_err().to_string();
            assert_eq!(refused, format!("limit: expected 1 to 1000, got {limit}"));
        }
    }
}
