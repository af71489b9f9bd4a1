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
            Self::Failed => "failed",
            Self::Closed => "closed",
        }
    }
}

impl From<&Fact> for Stated {
    fn from(fact: &Fact) -> Self {
        let (kind, at, refunded_minor) = match fact.kind {
            FactKind::Submitted => (Kind::Submitted, None, None),
            FactKind::Succeeded { paid_at } => (Kind::Succeeded, Some(paid_at), None),
            FactKind::Failed => (Kind::Failed, None, None),
            FactKind::Closed => (Kind::Closed, None, None),
            FactKind::Refunded { refunded_minor, refunded_at } => {
                (Kind::Refunded, Some(refunded_at), Some(refunded_minor))
            }
        };
        Self {
            kind,
            at,
            amount_minor: fact.amount.map(|amount| amount.amount_minor),
            currency: fact.amount.map(|amount| amount.currency),
            refunded_minor,
            channel: fact.account.clone(),
            channel_trade_no: fact.channel_trade_no.clone(),
        }
    }
}

impl Stated {
    /// The fact, accepted by an operator; `None` if it moved no money.
    pub(super) fn accepted(&self) -> Option<Fact> {
        let kind = match self.kind {
            Kind::Succeeded => FactKind::Succeeded { paid_at: self.at? },
            Kind::Refunded => {
                FactKind::Refunded { refunded_minor: self.refunded_minor?, refunded_at: self.at? }
            }
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
        for kind in
            [FactKind::Succeeded { paid_at: at }, FactKind::Refunded { refunded_minor: 300, refunded_at: at }]
        {
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
