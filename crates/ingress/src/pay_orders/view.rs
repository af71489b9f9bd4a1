//! How a pay order looks to its merchant.

use std::time::Duration;

use events::{ChannelAccount, Currency, MerchantId, OrderNo, PayOrderNo, Status};
use serde::Serialize;
use time::OffsetDateTime;

use crate::store::pay_orders::StoredPayOrder;

/// The body of every answer about a pay order. What is not known is null.
#[derive(Debug, Serialize)]
pub(crate) struct PayOrderView {
    pay_order_no: PayOrderNo,
    order_no: OrderNo,
    merchant_id: MerchantId,
    purpose: &'static str,
    amount_minor: i64,
    currency: Currency,
    channel: ChannelAccount,
    status: Status,
    version: i64,
    refunded_minor: i64,
    channel_trade_no: Option<String>,
    #[serde(with = "time::serde::rfc3339::option")]
    paid_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
    /// When it is closed at the earliest, once new payments are refused.
    #[serde(with = "time::serde::rfc3339::option")]
    closes_at: Option<OffsetDateTime>,
    subject: Option<String>,
    attach: Option<String>,
    notify_url: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

impl PayOrderView {
    pub(crate) fn new(stored: StoredPayOrder, close_grace: Duration, now: OffsetDateTime) -> Self {
        let order = stored.order;
        let closing = !order.status.is_final() && stored.payable_until <= now;
        Self {
            closes_at: closing.then(|| stored.payable_until + close_grace),
            purpose: order.purpose.as_str(),
            amount_minor: order.amount.amount_minor,
            currency: order.amount.currency,
            pay_order_no: order.pay_order_no,
            order_no: order.order_no,
            merchant_id: order.merchant_id,
            channel: order.channel,
            status: order.status,
            version: order.version,
            refunded_minor: order.refunded_minor,
            channel_trade_no: order.channel_trade_no,
            paid_at: order.paid_at,
            expires_at: stored.expires_at,
            subject: order.subject,
            attach: order.attach,
            notify_url: order.notify_url,
            created_at: stored.created_at,
        }
    }
}
