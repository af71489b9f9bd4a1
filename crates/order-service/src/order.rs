//! The order as the order service keeps it.

use std::{fmt, str::FromStr};

use events::{MerchantId, Money, OrderNo, PayOrderNo, Status};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::OffsetDateTime;

pub use crate::item::Item;

use crate::item::total;
use crate::{label::Label, split::SubOrder};

/// The most lines of one order.
pub const MAX_ITEMS: usize = 500;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OrderStatus {
    /// Created; any pay order of it may still pay it.
    AwaitingPayment,
    /// Paid in full.
    Paid,
    /// Paid, then refunded in part.
    PartiallyRefunded,
    /// Paid, then refunded in full.
    Refunded,
    /// Closed unpaid, for ever.
    Closed,
}

/// A text that names no status of an order.
#[derive(Debug, Error)]
#[error("order status: unknown {0:?}")]
pub struct UnknownOrderStatus(String);

/// What names an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderKey {
    /// Whose order.
    pub merchant_id: MerchantId,
    /// The merchant's number of it.
    pub order_no: OrderNo,
}

/// What is ordered: the content by which a repeated creation is recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOrder {
    /// Its name.
    #[serde(flatten)]
    pub key: OrderKey,
    /// Who buys.
    pub buyer_id: Label,
    /// The sum of its items.
    #[serde(flatten)]
    pub amount: Money,
    /// 1 to 500 lines.
    pub items: Vec<Item>,
}

/// Why an order cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidOrder {
    /// No lines, or too many.
    #[error("items: expected 1 to {MAX_ITEMS}, got {0}")]
    ItemCount(usize),
    /// A line of less than one piece, or of a price below zero.
    #[error("items[{0}]: expected quantity of at least 1 and price_minor of at least 0")]
    Item(usize),
    /// Nothing to pay.
    #[error("amount_minor: expected at least 1, got {0}")]
    Amount(i64),
    /// The lines do not add up.
    #[error("amount_minor: expected the sum of quantity × price_minor, got {0}")]
    AmountMismatch(i64),
}

/// The facts of the payment of an order, as its pay order tells them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Payment {
    /// The pay order that paid.
    pub pay_order_no: PayOrderNo,
    /// The channel's own number of the trade, if it has one.
    pub channel_trade_no: Option<String>,
    /// When the buyer paid.
    #[serde(with = "time::serde::rfc3339")]
    pub paid_at: OffsetDateTime,
}

/// A pay order that came to nothing, noted on the order that it should have paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotedPayment {
    /// `None` in a bare order number.
    pub pay_order_no: Option<PayOrderNo>,
    /// `TRADE_FAILED` or `TRADE_CLOSED`.
    pub status: Status,
    /// When, by the event; `None` in a bare order number.
    #[serde(with = "time::serde::rfc3339::option")]
    pub occurred_at: Option<OffsetDateTime>,
}

/// An order as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Order {
    /// What was ordered.
    #[serde(flatten)]
    pub content: NewOrder,
    /// Where it stands.
    pub status: OrderStatus,
    /// All that was refunded so far, in minor units.
    pub refunded_minor: i64,
    /// `None` until the facts of a payment are known.
    pub payment: Option<Payment>,
    /// Pay orders that came to nothing.
    pub payments: Vec<NotedPayment>,
    /// Empty until it is paid.
    pub sub_orders: Vec<SubOrder>,
    /// Grows by one with every change; from 1.
    pub version: i64,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

impl OrderStatus {
    /// Every status.
    pub const ALL: [Self; 5] =
        [Self::AwaitingPayment, Self::Paid, Self::PartiallyRefunded, Self::Refunded, Self::Closed];

    /// The name used in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AwaitingPayment => "AWAITING_PAYMENT",
            Self::Paid => "PAID",
            Self::PartiallyRefunded => "PARTIALLY_REFUNDED",
            Self::Refunded => "REFUNDED",
            Self::Closed => "CLOSED",
        }
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OrderStatus {
    type Err = UnknownOrderStatus;

    fn from_str(text: &str) -> Result<Self, UnknownOrderStatus> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| UnknownOrderStatus(text.to_owned()))
    }
}

impl fmt::Display for OrderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "order {} of merchant {}", self.order_no, self.merchant_id)
    }
}

impl NewOrder {
    /// Whether it can be accepted: bounded, payable, and worth the sum of its lines.
    pub fn check(&self) -> Result<(), InvalidOrder> {
        let amount_minor = self.amount.amount_minor;
        if !(1..=MAX_ITEMS).contains(&self.items.len()) {
            return Err(InvalidOrder::ItemCount(self.items.len()));
        }
        if let Some(index) = self.items.iter().position(|item| item.quantity < 1 || item.price_minor < 0) {
            return Err(InvalidOrder::Item(index));
        }
        if amount_minor < 1 {
            return Err(InvalidOrder::Amount(amount_minor));
        }
        if total(&self.items) != Some(amount_minor) {
            return Err(InvalidOrder::AmountMismatch(amount_minor));
        }
        Ok(())
    }
}

impl InvalidOrder {
    /// The stable `code` of its problem.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AmountMismatch(_) => "amount_mismatch",
            Self::ItemCount(_) | Self::Item(_) | Self::Amount(_) => "invalid",
        }
    }
}
