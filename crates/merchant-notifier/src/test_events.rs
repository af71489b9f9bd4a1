//! Events for the tests beside the code.

use events::{
    ChannelAccount, Currency, EventId, EventType, MerchantId, Money, OrderNo, PayEvent, PayOrder, PayOrderNo,
    Purpose, Status, to_micros,
};
use time::OffsetDateTime;
use uuid::Uuid;

/// A success of 19.99 CNY, just now.
pub(crate) fn event(merchant_id: &str, order_no: &str) -> PayEvent {
    let now = to_micros(OffsetDateTime::now_utc());
    PayEvent {
        event_id: EventId(Uuid::now_v7()),
        event_type: EventType::Success,
        order: PayOrder {
            pay_order_no: PayOrderNo::new(now, rand::random()),
            merchant_id: MerchantId::parse(merchant_id).unwrap(),
            order_no: OrderNo::parse(order_no).unwrap(),
            purpose: Purpose::Order,
            amount: Money { amount_minor: 1999, currency: Currency::parse("CNY").unwrap() },
            channel: ChannelAccount::parse("std").unwrap(),
            status: Status::TradeSuccess,
            version: 2,
            refunded_minor: 0,
            channel_trade_no: Some("T1".to_owned()),
            paid_at: Some(now),
            subject: None,
            notify_url: None,
            attach: None,
        },
        occurred_at: now,
    }
}
