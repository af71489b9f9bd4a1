//! The statuses of a pay order.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The status of a pay order. Which may follow which is decided by [`transition`](crate::transition).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Created, not yet handed to the channel.
    NotCommit,
    /// Handed to the channel; the buyer has not paid yet.
    WaitBuyerPay,
    /// Paid.
    TradeSuccess,
    /// Failed for good at the channel.
    TradeFailed,
    /// Closed unpaid.
    TradeClosed,
    /// Paid, then refunded in part.
    PartiallyRefunded,
    /// Paid, then refunded in full.
    TradeRefunded,
}

/// A text that names no status.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("status: expected one of NOT_COMMIT, WAIT_BUYER_PAY, TRADE_SUCCESS, …, got {0:?}")]
pub struct UnknownStatus(pub String);

impl Status {
    /// Every status.
    pub const ALL: [Self; 7] = [
        Self::NotCommit,
        Self::WaitBuyerPay,
        Self::TradeSuccess,
        Self::TradeFailed,
        Self::TradeClosed,
        Self::PartiallyRefunded,
        Self::TradeRefunded,
    ];

    /// The name used in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotCommit => "NOT_COMMIT",
            Self::WaitBuyerPay => "WAIT_BUYER_PAY",
            Self::TradeSuccess => "TRADE_SUCCESS",
            Self::TradeFailed => "TRADE_FAILED",
            Self::TradeClosed => "TRADE_CLOSED",
            Self::PartiallyRefunded => "PARTIALLY_REFUNDED",
            Self::TradeRefunded => "TRADE_REFUNDED",
        }
    }

    /// Whether the buyer has paid, refunded since or not.
    pub const fn is_paid(self) -> bool {
        matches!(self, Self::TradeSuccess | Self::PartiallyRefunded | Self::TradeRefunded)
    }

    /// Whether the buyer can no longer change it: paid, failed or closed.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::NotCommit | Self::WaitBuyerPay)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_back_and_equals_its_json() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse::<Status>().unwrap(), status);
            assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{status}\""));
        }
        assert!("PAID".parse::<Status>().is_err());
    }

    #[test]
    fn each_status_is_open_ended_unpaid_or_paid() {
        let told = Status::ALL.map(|status| (status, status.is_final(), status.is_paid()));
        let expected = [
            (Status::NotCommit, false, false),
            (Status::WaitBuyerPay, false, false),
            (Status::TradeSuccess, true, true),
            (Status::TradeFailed, true, false),
            (Status::TradeClosed, true, false),
            (Status::PartiallyRefunded, true, true),
            (Status::TradeRefunded, true, true),
        ];
        assert_eq!(told, expected);
    }
}
