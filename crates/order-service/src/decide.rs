//! What a message does to an order: the one place where an order's status may change by an event.
//!
//! The guard is the order itself: the rank of its status, its `refunded_minor`, the pay order that paid it and the notes on
//! it. The version of the event plays no part, for versions of an upstream are not comparable with ours.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use events::codec::{BareOrder, Incoming};
use events::{EventType, Money, PayEvent, PayOrderNo, Status};
use time::OffsetDateTime;

use crate::order::{OrderStatus, Payment};

/// Pay orders that came to nothing, with the time of the event. What makes two notes the same is the pay order and what
/// became of it. Both the pay order and the time are `None` in a bare order number.
pub type Notes = HashMap<(Option<PayOrderNo>, Status), Option<OffsetDateTime>>;

/// All of an order that a decision looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderState {
    /// Where it stands.
    pub status: OrderStatus,
    /// What is to be paid.
    pub amount: Money,
    /// All that was refunded so far, in minor units.
    pub refunded_minor: i64,
    /// The facts of its payment; `None` in a paid order that only a bare order number has marked.
    pub payment: Option<Payment>,
    /// Pay orders that came to nothing.
    pub notes: Notes,
    /// Grows by one with every change.
    pub version: i64,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The order changes to this.
    Applied(OrderState),
    /// The order knows it already, or knows more.
    Duplicate,
    /// It contradicts the order, now and for ever.
    Refused(MessageRefusal),
}

/// Why a message is dead-lettered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRefusal {
    /// The stable reason, as in `x-payrelay-reason`.
    pub reason: &'static str,
    /// The particulars, for a human.
    pub detail: String,
}

/// Decides one message. Messages of one order are folded through it in the order of their arrival.
pub fn decide(state: &OrderState, message: &Incoming) -> Decision {
    match message {
        Incoming::Event(event) => match noted_status(event.event_type) {
            Some(status) => {
                let key = (Some(event.order.pay_order_no.clone()), status);
                note(state, key, Some(event.occurred_at))
            }
            None => money_moved(state, event),
        },
        Incoming::Bare(bare) => match noted_status(bare.event_type) {
            Some(status) => note(state, (None, status), None),
            None => bare_money_moved(state, bare),
        },
    }
}

/// What an event of this type says of its pay order, if it came to nothing; `None` where money has moved.
const fn noted_status(event_type: EventType) -> Option<Status> {
    match event_type {
        EventType::Failed => Some(Status::TradeFailed),
        EventType::Closed => Some(Status::TradeClosed),
        EventType::Success | EventType::Refunded => None,
    }
}

/// A success or a refund: first the facts of the payment, then what was given back of it. A refund that overtakes its
/// success thus marks the order paid, and the success that follows finds nothing left to do.
fn money_moved(state: &OrderState, event: &PayEvent) -> Decision {
    let order = &event.order;
    if state.status == OrderStatus::Closed {
        return order_closed();
    }
    let by_another = state.payment.as_ref().filter(|payment| payment.pay_order_no != order.pay_order_no);
    if let Some(payment) = by_another {
        let detail = format!("paid by {}, now also by {}", payment.pay_order_no, order.pay_order_no);
        return refused("second_payment", detail);
    }
    if order.amount != state.amount {
        return refused("amount_mismatch", format!("expected {}, got {}", state.amount, order.amount));
    }
    let Some(paid_at) = order.paid_at else {
        return refused("invalid", format!("paid_at: expected a time in {}, got none", event.event_type));
    };
    let mut next = state.clone();
    if next.payment.is_none() {
        next.payment = Some(Payment {
            pay_order_no: order.pay_order_no.clone(),
            channel_trade_no: order.channel_trade_no.clone(),
            paid_at,
        });
        next.status = next.status.max(OrderStatus::Paid);
        next.version += 1;
    }
    if order.refunded_minor > next.refunded_minor {
        next.refunded_minor = order.refunded_minor;
        next.status = if order.refunded_minor < state.amount.amount_minor {
            OrderStatus::PartiallyRefunded
        } else {
            OrderStatus::Refunded
        };
        next.version += 1;
    }
    if next == *state { Decision::Duplicate } else { Decision::Applied(next) }
}

/// A bare order number can say that an order is paid, and no more.
fn bare_money_moved(state: &OrderState, bare: &BareOrder) -> Decision {
    match (bare.event_type, state.status) {
        (EventType::Refunded, _) => {
            refused("invalid", "a bare order number says no refunded amount".to_owned())
        }
        (_, OrderStatus::Closed) => order_closed(),
        (_, OrderStatus::AwaitingPayment) => Decision::Applied(OrderState {
            status: OrderStatus::Paid,
            version: state.version + 1,
            ..state.clone()
        }),
        _ => Decision::Duplicate,
    }
}

/// A pay order that came to nothing leaves the status alone: another may still pay the order, or has.
fn note(
    state: &OrderState,
    key: (Option<PayOrderNo>, Status),
    occurred_at: Option<OffsetDateTime>,
) -> Decision {
    let mut next = state.clone();
    match next.notes.entry(key) {
        Entry::Occupied(_) => return Decision::Duplicate,
        Entry::Vacant(entry) => entry.insert(occurred_at),
    };
    next.version += 1;
    Decision::Applied(next)
}

fn refused(reason: &'static str, detail: String) -> Decision {
    Decision::Refused(MessageRefusal { reason, detail })
}

fn order_closed() -> Decision {
    refused("order_closed", "paid after the order was closed unpaid".to_owned())
}

#[cfg(test)]
mod tests;
