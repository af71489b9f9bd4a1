//! The pay order: one attempt to pay one order.

use time::OffsetDateTime;

use crate::{ChannelAccount, MerchantId, Money, OrderNo, PayOrderNo, Purpose, Status};

/// A pay order at one of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayOrder {
    /// Its own number.
    pub pay_order_no: PayOrderNo,
    /// Whose it is.
    pub merchant_id: MerchantId,
    /// The merchant's order that it pays.
    pub order_no: OrderNo,
    /// Whose books it belongs to.
    pub purpose: Purpose,
    /// What is to be paid.
    pub amount: Money,
    /// By which channel account.
    pub channel: ChannelAccount,
    /// Where it stands.
    pub status: Status,
    /// How many transitions brought it there; only grows.
    pub version: i64,
    /// All that was refunded so far, in minor units.
    pub refunded_minor: i64,
    /// The channel's own number of the trade that paid it.
    pub channel_trade_no: Option<String>,
    /// When the buyer paid.
    pub paid_at: Option<OffsetDateTime>,
    /// What is paid for, in words.
    pub subject: Option<String>,
    /// Where the merchant wants its webhooks; `None` for the merchant's endpoint.
    pub notify_url: Option<String>,
    /// What the merchant attached; returned as it came.
    pub attach: Option<String>,
}
