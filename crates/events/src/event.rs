//! The event: a snapshot of a pay order that is told to the world.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::invalid_event::InvalidEvent;
use crate::{EventId, MerchantId, OrderNo, PayOrder, PayOrderNo, Status};

/// What happened to a pay order. Its name is the routing key, the AMQP `type` and the `type` of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventType {
    /// The buyer has paid.
    #[serde(rename = "pay.success")]
    Success,
    /// The pay order failed; another may still pay the order.
    #[serde(rename = "pay.failed")]
    Failed,
    /// The pay order was closed unpaid.
    #[serde(rename = "pay.closed")]
    Closed,
    /// The cumulative refunded amount has grown.
    #[serde(rename = "pay.refunded")]
    Refunded,
}

/// A full snapshot of a pay order at one of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayEvent {
    /// Its identity.
    pub event_id: EventId,
    /// What happened.
    pub event_type: EventType,
    /// The pay order after it happened.
    pub order: PayOrder,
    /// When the transition was committed, to the microsecond.
    pub occurred_at: OffsetDateTime,
}

/// What makes two events the same fact, whatever their ids: consumers apply each key once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey {
    /// The merchant.
    pub merchant_id: MerchantId,
    /// The merchant's order.
    pub order_no: OrderNo,
    /// The pay order.
    pub pay_order_no: PayOrderNo,
    /// What happened.
    pub event_type: EventType,
    /// `refunded_minor` for refunds, else 0.
    pub seq: i64,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 4] = [Self::Success, Self::Failed, Self::Closed, Self::Refunded];

    /// The name, and the routing key on `pay.direct`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "pay.success",
            Self::Failed => "pay.failed",
            Self::Closed => "pay.closed",
            Self::Refunded => "pay.refunded",
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = InvalidEvent;

    fn from_str(text: &str) -> Result<Self, InvalidEvent> {
        let found = Self::ALL.into_iter().find(|event_type| event_type.as_str() == text);
        found.ok_or_else(|| {
            InvalidEvent::new(
                "type",
                "pay.success, pay.failed, pay.closed or pay.refunded",
                format!("{text:?}"),
            )
        })
    }
}

impl PayEvent {
    /// How far the clock of a publisher may run ahead of ours.
    pub const MAX_AHEAD: Duration = Duration::days(1);

    /// The event's identity as a fact.
    pub fn key(&self) -> EventKey {
        EventKey {
            merchant_id: self.order.merchant_id.clone(),
            order_no: self.order.order_no.clone(),
            pay_order_no: self.order.pay_order_no.clone(),
            event_type: self.event_type,
            seq: if self.event_type == EventType::Refunded { self.order.refunded_minor } else { 0 },
        }
    }

    /// Refuses an event that lies more than a day ahead of `now`: no partition awaits it, and no clock is that wrong.
    pub fn check_clock(&self, now: OffsetDateTime) -> Result<(), InvalidEvent> {
        if self.occurred_at > now + Self::MAX_AHEAD {
            return Err(InvalidEvent::new(
                "occurred_at",
                format_args!("at most a day after {now}"),
                self.occurred_at,
            ));
        }
        Ok(())
    }

    /// Refuses a snapshot whose parts do not agree. Our own events always pass; an upstream's may not.
    pub(crate) fn check(&self) -> Result<(), InvalidEvent> {
        let order = &self.order;
        let total = order.amount.amount_minor;
        if total <= 0 {
            return Err(InvalidEvent::new("amount_minor", "more than 0", total));
        }
        if order.version < 1 {
            return Err(InvalidEvent::new("version", "1 or more", order.version));
        }
        let (status, refunded) = match self.event_type {
            EventType::Success => (Status::TradeSuccess, 0..=0),
            EventType::Failed => (Status::TradeFailed, 0..=0),
            EventType::Closed => (Status::TradeClosed, 0..=0),
            EventType::Refunded if order.status == Status::TradeRefunded => {
                (Status::TradeRefunded, total..=total)
            }
            EventType::Refunded => (Status::PartiallyRefunded, 1..=total - 1),
        };
        if order.status != status {
            let expected = format!("{status} in an event {}", self.event_type);
            return Err(InvalidEvent::new("status", expected, order.status));
        }
        if !refunded.contains(&order.refunded_minor) {
            let expected = format!("{} to {} with {status}", refunded.start(), refunded.end());
            return Err(InvalidEvent::new("refunded_minor", expected, order.refunded_minor));
        }
        if order.status.is_paid() && order.paid_at.is_none() {
            return Err(InvalidEvent::new("paid_at", format!("a time with {status}"), "none"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
