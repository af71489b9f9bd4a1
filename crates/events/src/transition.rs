//! The transition table of pay orders, as one pure function.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{EventType, Fact, FactKind, PayOrder, Status};

/// What a fact means for a pay order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// The pay order moves on, in one step or in two (a refund that arrives before its success brings the success along).
    Applied(Vec<Step>),
    /// The fact is known already, or older than what is known: nothing changes.
    Duplicate,
    /// The fact cannot be true together with what is known: nothing changes, somebody must look.
    Contradiction(ContradictionReason),
}

/// One transition: the pay order after it, and what is told to the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The pay order after the transition, its version grown by one.
    pub order: PayOrder,
    /// The event of the transition; `None` for one that concerns nobody else.
    pub event: Option<EventType>,
}

/// Why a fact contradicts a pay order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContradictionReason {
    /// Another channel account speaks than the one that the pay order was given to.
    AccountMismatch,
    /// Another currency.
    CurrencyMismatch,
    /// Another amount, or none where one is needed.
    AmountMismatch,
    /// More was refunded than was paid.
    RefundExceedsTotal,
    /// Paid or refunded, though it had been closed.
    SuccessAfterClose,
    /// Paid again, under another trade number of the channel.
    SecondTrade,
    /// A recharge paid by the trade that has paid another recharge already.
    TradeReused,
    /// A verified callback names a pay order that does not exist.
    UnknownPayOrder,
}

impl ContradictionReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::AccountMismatch,
        Self::CurrencyMismatch,
        Self::AmountMismatch,
        Self::RefundExceedsTotal,
        Self::SuccessAfterClose,
        Self::SecondTrade,
        Self::TradeReused,
        Self::UnknownPayOrder,
    ];

    /// The name used in JSON, metrics and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountMismatch => "account_mismatch",
            Self::CurrencyMismatch => "currency_mismatch",
            Self::AmountMismatch => "amount_mismatch",
            Self::RefundExceedsTotal => "refund_exceeds_total",
            Self::SuccessAfterClose => "success_after_close",
            Self::SecondTrade => "second_trade",
            Self::TradeReused => "trade_reused",
            Self::UnknownPayOrder => "unknown_pay_order",
        }
    }
}

impl fmt::Display for ContradictionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no reason of a contradiction.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("reason: expected one of account_mismatch, success_after_close, second_trade, …, got {0:?}")]
pub struct UnknownReason(pub String);

impl FromStr for ContradictionReason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        let found = Self::ALL.into_iter().find(|reason| reason.as_str() == text);
        found.ok_or_else(|| UnknownReason(text.to_owned()))
    }
}

/// Decides what `fact` does to `order`. Every change of a status anywhere goes through here.
///
/// Whichever fact comes first wins; the same fact again changes nothing. A payment that an operator has accepted meets a closed
/// pay order as if it still waited for the buyer; whatever else speaks against it still does. The caller holds the lock on the
/// row.
pub fn transition(order: &PayOrder, fact: &Fact) -> Transition {
    let refunded_minor = match check(order, fact) {
        Ok(refunded_minor) => refunded_minor,
        Err(reason) => return Transition::Contradiction(reason),
    };
    if fact.kind.moves_money() && order.status == Status::TradeClosed && !fact.accepted {
        return Transition::Contradiction(ContradictionReason::SuccessAfterClose);
    }
    match &fact.kind {
        FactKind::Submitted => match order.status {
            Status::NotCommit => applied([step(order, |next| next.status = Status::WaitBuyerPay, None)]),
            _ => Transition::Duplicate,
        },
        FactKind::Succeeded { .. } => match order.status {
            Status::NotCommit | Status::WaitBuyerPay | Status::TradeFailed | Status::TradeClosed => {
                applied([pay(order, fact)])
            }
            Status::TradeSuccess | Status::PartiallyRefunded | Status::TradeRefunded => Transition::Duplicate,
        },
        FactKind::Failed => match order.status {
            Status::NotCommit | Status::WaitBuyerPay => {
                applied([step(order, |next| next.status = Status::TradeFailed, Some(EventType::Failed))])
            }
            _ => Transition::Duplicate,
        },
        FactKind::Closed => match order.status {
            Status::NotCommit | Status::WaitBuyerPay | Status::TradeFailed => {
                applied([step(order, |next| next.status = Status::TradeClosed, Some(EventType::Closed))])
            }
            _ => Transition::Duplicate,
        },
        FactKind::Refunded { .. } | FactKind::PartRefunded { .. } => match order.status {
            _ if refunded_minor <= order.refunded_minor => Transition::Duplicate,
            Status::NotCommit | Status::WaitBuyerPay | Status::TradeFailed | Status::TradeClosed => {
                let paid = pay(order, fact);
                let refunded = refund(&paid.order, refunded_minor);
                applied([paid, refunded])
            }
            Status::TradeSuccess | Status::PartiallyRefunded | Status::TradeRefunded => {
                applied([refund(order, refunded_minor)])
            }
        },
    }
}

/// All that is refunded once the fact holds, in minor units; or the contradiction that holds whatever the status: the fact
/// speaks of other money, or of another trade.
fn check(order: &PayOrder, fact: &Fact) -> Result<i64, ContradictionReason> {
    if fact.account.as_ref().is_some_and(|account| *account != order.channel) {
        return Err(ContradictionReason::AccountMismatch);
    }
    match fact.amount {
        Some(amount) if amount.currency != order.amount.currency => {
            return Err(ContradictionReason::CurrencyMismatch);
        }
        Some(amount) if amount != order.amount => return Err(ContradictionReason::AmountMismatch),
        None if fact.kind.moves_money() => return Err(ContradictionReason::AmountMismatch),
        _ => {}
    }
    let refunded_minor = match fact.kind {
        FactKind::Refunded { refunded_minor, .. } => Some(refunded_minor),
        FactKind::PartRefunded { amount_minor, .. } => order.refunded_minor.checked_add(amount_minor),
        FactKind::Submitted | FactKind::Succeeded { .. } | FactKind::Failed | FactKind::Closed => {
            Some(order.refunded_minor)
        }
    };
    let within_total = refunded_minor.filter(|refunded_minor| *refunded_minor <= order.amount.amount_minor);
    let refunded_minor = within_total.ok_or(ContradictionReason::RefundExceedsTotal)?;
    let other_trade = match (&order.channel_trade_no, &fact.channel_trade_no) {
        (Some(known), Some(stated)) => known != stated,
        _ => false,
    };
    if fact.kind.moves_money() && order.status.is_paid() && other_trade {
        return Err(ContradictionReason::SecondTrade);
    }
    Ok(refunded_minor)
}

fn applied<const N: usize>(steps: [Step; N]) -> Transition {
    Transition::Applied(steps.into())
}

fn step(order: &PayOrder, change: impl FnOnce(&mut PayOrder), event: Option<EventType>) -> Step {
    let mut next = order.clone();
    next.version += 1;
    change(&mut next);
    Step { order: next, event }
}

fn pay(order: &PayOrder, fact: &Fact) -> Step {
    let paid_at = match fact.kind {
        FactKind::Succeeded { paid_at } => Some(paid_at),
        // The refund tells that it was paid, not when: no later than it was refunded.
        FactKind::Refunded { refunded_at, .. } | FactKind::PartRefunded { refunded_at, .. } => {
            Some(refunded_at)
        }
        FactKind::Submitted | FactKind::Failed | FactKind::Closed => None,
    };
    let pay = |next: &mut PayOrder| {
        next.status = Status::TradeSuccess;
        next.channel_trade_no.clone_from(&fact.channel_trade_no);
        next.paid_at = paid_at;
    };
    step(order, pay, Some(EventType::Success))
}

fn refund(order: &PayOrder, refunded_minor: i64) -> Step {
    let refund = |next: &mut PayOrder| {
        next.refunded_minor = refunded_minor;
        next.status = if refunded_minor == order.amount.amount_minor {
            Status::TradeRefunded
        } else {
            Status::PartiallyRefunded
        };
    };
    step(order, refund, Some(EventType::Refunded))
}

#[cfg(test)]
mod tests;
