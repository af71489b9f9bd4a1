//! The shape in which services tell operators of contradictions and take their decisions, for `payrelay contradictions`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::limit::Limit;

/// What somebody states and cannot be true together with what a service knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contradiction {
    /// Its id, the same however often it is stated.
    pub contradiction_id: Uuid,
    /// Which service has recorded it: `ingress` or `order-service`.
    pub source: String,
    /// The stable reason.
    pub reason: String,
    /// Whose it is; null if nobody knows the pay order.
    pub merchant_id: Option<String>,
    /// The merchant's order.
    pub order_no: Option<String>,
    /// The pay order.
    pub pay_order_no: Option<String>,
    /// The channel account that states it; null at the order service.
    pub account: Option<String>,
    /// The channel's number of the trade, if it named one.
    pub channel_trade_no: Option<String>,
    /// What the service knows; null if it knows nothing.
    pub ours: Option<Value>,
    /// What is stated, one object for each kind of statement.
    pub theirs: Vec<Value>,
    /// How often it was stated.
    pub count: i64,
    /// When it was stated first.
    #[serde(with = "time::serde::rfc3339")]
    pub first_seen_at: OffsetDateTime,
    /// When it was stated last. Possibly after its resolution, which that does not change.
    #[serde(with = "time::serde::rfc3339")]
    pub last_seen_at: OffsetDateTime,
    /// What an operator has decided; null while it is open.
    pub resolution: Option<Resolution>,
}

/// The decision of an operator. There is one for each contradiction, and it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// What was decided.
    pub action: Action,
    /// Why.
    pub note: String,
    /// By whom.
    pub by: String,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// What may be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing changes here: it was settled elsewhere.
    Dismissed,
    /// The payment is booked after all.
    Accepted,
}

impl Action {
    /// The name in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dismissed => "dismissed",
            Self::Accepted => "accepted",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no action.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("action: expected dismissed or accepted, got {0:?}")]
pub struct UnknownAction(String);

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        let found = [Self::Dismissed, Self::Accepted].into_iter().find(|action| action.as_str() == text);
        found.ok_or_else(|| UnknownAction(text.to_owned()))
    }
}

/// The body of `POST /admin/contradictions/{contradiction_id}/resolve`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolve {
    /// What is decided.
    pub action: Action,
    /// Why: what was found and done elsewhere.
    pub note: Note,
    /// By whom.
    pub by: Operator,
}

/// Why an operator decided so.
pub type Note = Text<1024>;
/// The name of an operator.
pub type Operator = Text<128>;

/// A text of an operator: 1 to `MAX_BYTES` bytes, without NUL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text<const MAX_BYTES: usize>(String);

/// A text that is empty, too long or holds a NUL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected a text of 1 to {max_bytes} bytes without NUL, got {got_bytes} bytes")]
pub struct InvalidText {
    max_bytes: usize,
    got_bytes: usize,
}

impl<const MAX_BYTES: usize> Text<MAX_BYTES> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX_BYTES: usize> TryFrom<String> for Text<MAX_BYTES> {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        if (1..=MAX_BYTES).contains(&text.len()) && !text.trim().is_empty() && !text.contains('\0') {
            Ok(Self(text))
        } else {
            Err(InvalidText { max_bytes: MAX_BYTES, got_bytes: text.len() })
        }
    }
}

impl<const MAX_BYTES: usize> FromStr for Text<MAX_BYTES> {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        text.to_owned().try_into()
    }
}

impl<const MAX_BYTES: usize> From<Text<MAX_BYTES>> for String {
    fn from(text: Text<MAX_BYTES>) -> Self {
        text.0
    }
}

/// Which contradictions are wanted. `R` holds the reasons that the service knows.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContradictionsQuery<R> {
    /// By default those that are open.
    #[serde(default)]
    pub status: Wants,
    /// Of one reason only.
    pub reason: Option<R>,
    /// How many at most.
    #[serde(default)]
    pub limit: Limit,
}

/// Resolved ones, open ones, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wants {
    /// Nobody has decided yet.
    #[default]
    Open,
    /// Somebody has.
    Resolved,
    /// Both.
    All,
}

impl Wants {
    /// Whether resolved ones are wanted; `None` for both.
    pub const fn resolved(self) -> Option<bool> {
        match self {
            Self::Open => Some(false),
            Self::Resolved => Some(true),
            Self::All => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resolve(note: &str, by: &str) -> Result<Resolve, String> {
        let body = json!({"action": "accepted", "note": note, "by": by});
        serde_json::from_value(body).map_err(|error| error.to_string())
    }

    #[test]
    fn an_operators_texts_are_bounded_and_fit_the_database() {
        assert!(resolve(&"x".repeat(1024), &"y".repeat(128)).is_ok());
        for (note, by) in [("", "me"), (" \n", "me"), ("a\0b", "me"), ("why", ""), ("why", "\0")] {
            assert!(resolve(note, by).is_err(), "{note:?} {by:?}");
        }
        let error = resolve(&"x".repeat(1025), "me").unwrap_err();
        assert!(error.contains("1 to 1024 bytes") && error.contains("got 1025"), "{error}");
        assert!(resolve("why", &"y".repeat(129)).is_err());
    }

    #[test]
    fn a_listing_is_bounded_and_shows_by_default_what_is_open() {
        let wanted = |query| serde_json::from_value::<ContradictionsQuery<String>>(query).unwrap();
        let open = wanted(json!({}));
        assert_eq!((open.limit.get(), open.status.resolved()), (100, Some(false)));
        assert_eq!(wanted(json!({ "limit": 7 })).limit.get(), 7);
        assert!(serde_json::from_value::<ContradictionsQuery<String>>(json!({ "limit": 1001 })).is_err());
        for (status, resolved) in [("open", Some(false)), ("resolved", Some(true)), ("all", None)] {
            assert_eq!(wanted(json!({ "status": status })).status.resolved(), resolved);
        }
    }

    #[test]
    fn actions_are_named_alike_in_json_and_in_the_database() {
        for action in [Action::Dismissed, Action::Accepted] {
            assert_eq!(action.as_str().parse(), Ok(action));
            assert_eq!(json!(action), action.as_str());
        }
        assert!("reopened".parse::<Action>().is_err());
    }
}
