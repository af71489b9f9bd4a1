//! Facts as they are kept with a contradiction, and read back when it is accepted.

use events::{ChannelAccount, Currency, Fact, FactKind, Money};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// A fact in the database and in listings.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stated {
    pub(super) kind: Kind,
    /// When it was paid or refunded.
    #[serde(with = "time::serde::rfc3339::option")]
    at: Option<OffsetDateTime>,
    amount_minor: Option<i64>,
    currency: Option<Currency>,
    refunded_minor: Option<i64>,
    /// Of a refund that was stated by itself: its number, and what it alone gave back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refund_no: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refund_amount_minor: Option<i64>,
    channel: Option<ChannelAccount>,
    channel_trade_no: Option<String>,
}

/// In the order in which they are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Submitted,
    Succeeded,
    Refunded,
    PartRefunded,
    Failed,
    Closed,
}

impl Kind {
    /// The name in JSON.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Succeeded => "succeeded",
            Self::Refunded => "refunded",
            Self::PartRefunded => "part_refunded",
            Self::Failed => "failed",
            Self::Closed => "closed",
        }
    }
}

impl From<&Fact> for Stated {
    fn from(fact: &Fact) -> Self {
        let (kind, at) = match fact.kind {
            FactKind::Submitted => (Kind::Submitted, None),
            FactKind::Succeeded { paid_at } => (Kind::Succeeded, Some(paid_at)),
            FactKind::Failed => (Kind::Failed, None),
            FactKind::Closed => (Kind::Closed, None),
            FactKind::Refunded { refunded_at, .. } => (Kind::Refunded, Some(refunded_at)),
            FactKind::PartRefunded { refunded_at, .. } => (Kind::PartRefunded, Some(refunded_at)),
        };
        let mut stated = Self {
            kind,
            at,
            amount_minor: fact.amount.map(|amount| amount.amount_minor),
            currency: fact.amount.map(|amount| amount.currency),
            refunded_minor: None,
            refund_no: None,
            refund_amount_minor: None,
            channel: fact.account.clone(),
            channel_trade_no: fact.channel_trade_no.clone(),
        };
        match &fact.kind {
            FactKind::Refunded { refunded_minor, .. } => stated.refunded_minor = Some(*refunded_minor),
            FactKind::PartRefunded { refund_no, amount_minor, .. } => {
                stated.refund_no = Some(refund_no.clone());
                stated.refund_amount_minor = Some(*amount_minor);
            }
            _ => {}
        }
        stated
    }
}

impl Stated {
    /// What it is kept under, in a row: one of each kind, but every refund that was stated by itself.
    pub(super) fn key(&self) -> String {
        match (&self.refund_no, self.refund_amount_minor) {
            (Some(refund_no), Some(amount_minor)) => {
                format!("{} {refund_no} {amount_minor}", self.kind.as_str())
            }
            _ => self.kind.as_str().to_owned(),
        }
    }

    /// The fact, accepted by an operator; `None` if it moved no money.
    pub(super) fn accepted(&self) -> Option<Fact> {
        let kind = match self.kind {
            Kind::Succeeded => FactKind::Succeeded { paid_at: self.at? },
            Kind::Refunded => {
                FactKind::Refunded { refunded_minor: self.refunded_minor?, refunded_at: self.at? }
            }
            Kind::PartRefunded => FactKind::PartRefunded {
                refund_no: self.refund_no.clone()?,
                amount_minor: self.refund_amount_minor?,
                refunded_at: self.at?,
            },
            Kind::Submitted | Kind::Failed | Kind::Closed => return None,
        };
        Some(Fact {
            kind,
            account: self.channel.clone(),
            amount: self.amount_minor.zip(self.currency).map(|(minor, currency)| Money::new(minor, currency)),
            channel_trade_no: self.channel_trade_no.clone(),
            accepted: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn what_is_kept_is_all_that_a_transition_needs() {
        let at = datetime!(2026-01-01 00:00:00.123_456 UTC);
        let part = FactKind::PartRefunded { refund_no: "R1".to_owned(), amount_minor: 300, refunded_at: at };
        for kind in [
            FactKind::Succeeded { paid_at: at },
            FactKind::Refunded { refunded_minor: 300, refunded_at: at },
            part,
        ] {
            let fact = Fact {
                kind,
                account: Some(ChannelAccount::parse("gateway_main").unwrap()),
                amount: Some(Money::new(1999, Currency::parse("CNY").unwrap())),
                channel_trade_no: Some("T1".to_owned()),
                accepted: false,
            };
            let kept = serde_json::to_value(Stated::from(&fact)).unwrap();
            let read: Stated = serde_json::from_value(kept).unwrap();
            assert_eq!(read.accepted(), Some(Fact { accepted: true, ..fact }));
        }
        assert_eq!(Stated::from(&Fact::own(FactKind::Closed)).accepted(), None);
    }
}
