//! Whose accounts there are.

use std::{fmt, str::FromStr};

use events::{ChannelAccount, Currency, MerchantId, UserId};
use thiserror::Error;

/// Whose account it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A user of a merchant. Its balance is what it may spend, and never negative.
    User {
        /// Whose user.
        merchant_id: MerchantId,
        /// Which one.
        user_id: UserId,
    },
    /// A merchant: what users have paid it from their balances.
    Merchant(MerchantId),
    /// An account at a payment channel: below zero it holds our money.
    Channel(ChannelAccount),
    /// What a merchant owes because a recharge was refunded that its user had spent already; zero or below.
    Shortfall(MerchantId),
}

/// The account of an owner in one currency.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// Whose it is.
    pub owner: Owner,
    /// The currency of its amounts.
    pub currency: Currency,
}

/// A text that names no owner.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "owner: expected user/MERCHANT/USER, merchant/MERCHANT, channel/ACCOUNT or shortfall/MERCHANT, got {0:?}"
)]
pub struct UnknownOwner(pub String);

impl Owner {
    /// Whether it is a user, whose account must be opened before and keeps a running balance.
    pub const fn is_user(&self) -> bool {
        matches!(self, Self::User { .. })
    }
}

/// The form in the database, as `user/shop-1/u1`. Identifiers have no slash.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { merchant_id, user_id } => write!(f, "user/{merchant_id}/{user_id}"),
            Self::Merchant(merchant_id) => write!(f, "merchant/{merchant_id}"),
            Self::Channel(account) => write!(f, "channel/{account}"),
            Self::Shortfall(merchant_id) => write!(f, "shortfall/{merchant_id}"),
        }
    }
}

impl FromStr for Owner {
    type Err = UnknownOwner;

    fn from_str(text: &str) -> Result<Self, UnknownOwner> {
        let unknown = || UnknownOwner(text.to_owned());
        let (kind, name) = text.split_once('/').ok_or_else(unknown)?;
        let merchant = |name: &str| MerchantId::parse(name).map_err(|_| unknown());
        match kind {
            "user" => {
                let (merchant_id, user_id) = name.split_once('/').ok_or_else(unknown)?;
                let user_id = UserId::parse(user_id).map_err(|_| unknown())?;
                Ok(Self::User { merchant_id: merchant(merchant_id)?, user_id })
            }
            "merchant" => merchant(name).map(Self::Merchant),
            "channel" => ChannelAccount::parse(name).map(Self::Channel).map_err(|_| unknown()),
            "shortfall" => merchant(name).map(Self::Shortfall),
            _ => Err(unknown()),
        }
    }
}

/// As in `user/shop-1/u1 CNY`.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.owner, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_owner_is_read_back_from_its_text() {
        for text in ["user/shop-1/u:1@x", "merchant/user", "channel/alipay_main", "shortfall/shop-1"] {
            assert_eq!(text.parse::<Owner>().unwrap().to_string(), text);
        }
        for text in ["", "user", "user/m", "user/m/", "user/m/u/x", "merchant/", "merchant/a/b", "bank/a"] {
            assert!(text.parse::<Owner>().is_err(), "{text:?}");
        }
    }
}
