//! Whose books a payment belongs to.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::InvalidEvent;

/// Whose books a payment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Purpose {
    /// An order of the order service.
    #[default]
    Order,
    /// An order that the merchant keeps itself.
    External,
    /// A recharge of a user's account.
    Recharge,
}

impl Purpose {
    /// The name used in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "ORDER",
            Self::External => "EXTERNAL",
            Self::Recharge => "RECHARGE",
        }
    }
}

impl FromStr for Purpose {
    type Err = InvalidEvent;

    fn from_str(text: &str) -> Result<Self, InvalidEvent> {
        let found = [Self::Order, Self::External, Self::Recharge]
            .into_iter()
            .find(|purpose| purpose.as_str() == text);
        found.ok_or_else(|| InvalidEvent::new("purpose", "ORDER, EXTERNAL or RECHARGE", format!("{text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_that_of_json_and_parses_back() {
        for (purpose, name) in
            [(Purpose::Order, "ORDER"), (Purpose::External, "EXTERNAL"), (Purpose::Recharge, "RECHARGE")]
        {
            assert_eq!(purpose.as_str(), name);
            assert_eq!(serde_json::to_value(purpose).unwrap(), name);
            assert_eq!(name.parse::<Purpose>().unwrap(), purpose);
        }
        for other in ["", "order", "ORDERS"] {
            assert!(other.parse::<Purpose>().is_err(), "{other:?}");
        }
    }
}
