//! What tests begin with.

use time::macros::datetime;
use uuid::Uuid;

use crate::{
    ChannelAccount, Currency, EventId, EventType, MerchantId, Money, OrderNo, PayEvent, PayOrder, PayOrderNo,
    Purpose, Status,
};

pub(crate) fn merchant() -> MerchantId {
    MerchantId::parse("m1").unwrap()
}

pub(crate) fn event() -> PayEvent {
    PayEvent {
        event_id: EventId(Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001)),
        event_type: EventType::Success,
        occurred_at: datetime!(2026-01-01 00:00:01.5 UTC),
        order: PayOrder {
            pay_order_no: PayOrderNo::parse("P1").unwrap(),
            merchant_id: merchant(),
            order_no: OrderNo::parse("10001").unwrap(),
            purpose: Purpose::Order,
            amount: Money::new(1999, Currency::parse("CNY").unwrap()),
            channel: ChannelAccount::parse("main").unwrap(),
            status: Status::TradeSuccess,
            version: 2,
            refunded_minor: 0,
            channel_trade_no: Some("T1".to_owned()),
            paid_at: Some(datetime!(2026-01-01 00:00 UTC)),
            subject: None,
            notify_url: None,
            attach: Some("x=1".to_owned()),
        },
    }
}
