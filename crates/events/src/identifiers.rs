//! The numbers and names by which merchants, orders, pay orders, users, channel accounts and events are known.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::{Builder, Uuid, Variant};

/// Where the digit of the version stands in a UUID.
const VERSION_AT: usize = 12;
/// The longest identifier, in bytes.
const MAX_LENGTH: usize = 64;

/// A text that is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what}: expected 1 to {MAX_LENGTH} letters, digits or any of `-_.:@`, got {got}")]
pub struct InvalidIdentifier {
    what: &'static str,
    got: String,
}

impl InvalidIdentifier {
    fn new(what: &'static str, got: &str) -> Self {
        let got = if got.len() <= MAX_LENGTH { format!("{got:?}") } else { format!("{} bytes", got.len()) };
        Self { what, got }
    }
}

fn is_identifier(text: &str) -> bool {
    (1..=MAX_LENGTH).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:@".contains(&byte))
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes 1 to 64 ASCII letters, digits, `-`, `_`, `.`, `:` or `@`.
            pub fn parse(text: impl Into<String>) -> Result<Self, InvalidIdentifier> {
                let text = text.into();
                if is_identifier(&text) { Ok(Self(text)) } else { Err(InvalidIdentifier::new($what, &text)) }
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidIdentifier;

            fn from_str(text: &str) -> Result<Self, InvalidIdentifier> {
                Self::parse(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

identifier!(
    /// A merchant of the pipeline.
    MerchantId,
    "merchant_id"
);
identifier!(
    /// A merchant's own number of an order; unique per merchant.
    OrderNo,
    "order_no"
);
identifier!(
    /// The number of one attempt to pay an order; unique over all merchants.
    PayOrderNo,
    "pay_order_no"
);
identifier!(
    /// A merchant's own name of a user who pays from a balance; unique per merchant.
    UserId,
    "user_id"
);
identifier!(
    /// A merchant's own number of a recharge; unique per merchant.
    RechargeNo,
    "recharge_no"
);
identifier!(
    /// The name of a channel account in the channels file, or `balance`.
    ChannelAccount,
    "channel"
);

impl PayOrderNo {
    /// The number of what is made at `now`, `P` and 31 hexadecimal digits, which sorts by that time, to the millisecond: 32
    /// characters are the most that WeChat Pay takes for an order's number. `random` makes it the only one of its millisecond.
    ///
    /// # Panics
    ///
    /// If `now` is before 1970.
    pub fn new(now: OffsetDateTime, random: [u8; 10]) -> Self {
        let millis = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).expect("a time since 1970");
        let id = Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        let mut digits = format!("{:X}", id.simple());
        // That of the version, which is always the same.
        digits.remove(VERSION_AT);
        Self(format!("P{digits}"))
    }

    /// When the number was made, to the millisecond; `None` unless it is one of ours. Those of earlier releases have their version,
    /// and so 32 digits.
    pub fn made_at(&self) -> Option<OffsetDateTime> {
        let mut digits = self.0.strip_prefix('P')?.to_owned();
        if digits.len() == 31 {
            digits.insert(VERSION_AT, '7');
        }
        let id = Uuid::try_parse(&digits).ok().filter(|_| digits.len() == 32)?;
        let ours = id.get_version_num() == 7 && id.get_variant() == Variant::RFC4122;
        let (seconds, nanos) = id.get_timestamp().filter(|_| ours)?.to_unix();
        let seconds = OffsetDateTime::from_unix_timestamp(seconds.try_into().ok()?).ok()?;
        Some(seconds + time::Duration::nanoseconds(nanos.into()))
    }
}

impl OrderNo {
    /// What the order numbers of recharges begin with; no merchant may give such a number to an order.
    pub const RECHARGE_PREFIX: &str = "recharge:";

    /// The number of the order that a recharge is: that of its pay order, behind the prefix.
    pub fn of_recharge(pay_order_no: &PayOrderNo) -> Self {
        Self(format!("{}{pay_order_no}", Self::RECHARGE_PREFIX))
    }

    /// Whether it is that of a recharge.
    pub fn is_of_recharge(&self) -> bool {
        self.0.starts_with(Self::RECHARGE_PREFIX)
    }
}

impl ChannelAccount {
    /// The name that stands for paying from a user's balance.
    pub const BALANCE: &'static str = "balance";

    /// Whether the money comes from a user's balance and never passes a channel.
    pub fn is_balance(&self) -> bool {
        self.0 == Self::BALANCE
    }
}

/// The identity of one event: a UUID, version 7 for our own, so that they sort by the time of their making. Also its `message_id`
/// and `CloudEvents` id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn takes_the_numbers_that_merchants_use() {
        for text in ["10001", "P202601010001", "2026-01-01_A.b:c@d", "-1"] {
            assert_eq!(OrderNo::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn refuses_what_could_break_a_log_a_url_or_a_key() {
        for text in ["", " ", "a b", "a/b", "a\nb", "é", "a'b", "%41", &"x".repeat(65)] {
            assert!(OrderNo::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_error_names_what_was_expected_and_what_came() {
        let error = MerchantId::parse("a b").unwrap_err().to_string();
        assert!(error.contains("merchant_id") && error.contains("\"a b\""), "{error}");
    }

    #[test]
    fn the_order_number_of_a_recharge_is_one_and_told_apart() {
        let number = OrderNo::of_recharge(&PayOrderNo::parse("P1").unwrap());
        assert_eq!(OrderNo::parse(number.as_str()).unwrap(), number);
        assert!(number.is_of_recharge() && !OrderNo::parse("recharge-1").unwrap().is_of_recharge());
    }

    #[test]
    fn one_account_is_the_balance_and_no_other() {
        let is_balance = |name: &str| ChannelAccount::parse(name).unwrap().is_balance();
        assert!(is_balance("balance") && !is_balance("Balance") && !is_balance("balance2"));
    }

    #[test]
    fn a_number_of_ours_tells_when_it_was_made_and_no_other_does() {
        let made_at = |text: &str| PayOrderNo::parse(text).unwrap().made_at();
        let now = datetime!(2026-01-01 00:00:00.123_999 UTC);
        let own = PayOrderNo::new(now, [0xFF; 10]);
        assert_eq!(own.made_at(), Some(datetime!(2026-01-01 00:00:00.123 UTC)), "{own}");
        for number in ["P019B76DAA80000080000000000000AB", "P019B76DAA800700080000000000000AB"] {
            assert_eq!(made_at(number), OffsetDateTime::from_unix_timestamp(1_767_225_600).ok(), "{number}");
        }
        for foreign in [
            "P",
            "UP-1",
            "P202601010001",
            "PC232AB00964B48F1A2F0C1D2E3F40516",
            "P019B76DAA80000000000000000000AB",
            "P019b76da-a800-7000-8000-0000000000ab",
        ] {
            assert_eq!(made_at(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn our_numbers_are_valid_sort_by_their_time_and_differ_by_what_is_random() {
        let now = datetime!(2026-01-01 00:00 UTC);
        let first = PayOrderNo::new(now, [0xAB; 10]);
        assert_eq!(first.as_str(), "P019B76DAA800BABABABABABABABABAB");
        assert_eq!(PayOrderNo::parse(first.as_str()).unwrap(), first);
        for random in [[0; 10], [0xFF; 10]] {
            assert_ne!(PayOrderNo::new(now, random), first);
            let later = PayOrderNo::new(now + time::Duration::MILLISECOND, random);
            assert!(first < later && later.as_str().len() == 32, "{first} {later}");
        }
    }
}
