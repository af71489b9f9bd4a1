//! The functions that cargo-fuzz runs, on known good inputs and on those changed a little.

#[expect(unreachable_pub, reason = "it is public where the fuzz targets use it")]
#[path = "../../../fuzz/src/messages.rs"]
mod messages;
#[expect(unreachable_pub, reason = "it is public where the fuzz targets use it")]
#[path = "../../../fuzz/src/mutated.rs"]
mod mutated;

use events::codec::{Incoming, JSON, PROTOBUF, encode_json, encode_protobuf};
use events::{
    ChannelAccount, Currency, EventId, EventType, MerchantId, Money, OrderNo, PayEvent, PayOrder, PayOrderNo,
    Purpose, Status,
};
use proptest::prelude::*;
use serde_json::Value;
use time::macros::datetime;
use uuid::Uuid;

use mutated::mutated;

fn event() -> PayEvent {
    PayEvent {
        event_id: EventId(Uuid::from_u128(1)),
        event_type: EventType::Success,
        occurred_at: datetime!(2026-01-01 00:00:01.5 UTC),
        order: PayOrder {
            pay_order_no: PayOrderNo::parse("P1").expect("it is a number"),
            merchant_id: MerchantId::parse("m1").expect("it is an id"),
            order_no: OrderNo::parse("10001").expect("it is a number"),
            purpose: Purpose::Order,
            amount: Money::new(1999, Currency::parse("CNY").expect("it is listed")),
            channel: ChannelAccount::parse("main").expect("it is a name"),
            status: Status::TradeSuccess,
            version: 2,
            refunded_minor: 0,
            channel_trade_no: Some("T1".to_owned()),
            paid_at: Some(datetime!(2026-01-01 00:00 UTC)),
            subject: Some("茶".to_owned()),
            notify_url: None,
            attach: Some("x=1".to_owned()),
        },
    }
}

/// A body behind the byte that chooses its content type.
fn message(content_type: &str, body: &[u8]) -> Option<Vec<u8>> {
    let selector = messages::selector(content_type, "pay.success")?;
    Some([&[selector], body].concat())
}

fn full() -> Vec<Vec<u8>> {
    let json = encode_json(&event()).expect("it can be written");
    let both = [message(PROTOBUF, &encode_protobuf(&event())), message(JSON, json.as_bytes())];
    both.into_iter().flatten().collect()
}

/// What publishers of the Spring kind send.
fn bare() -> Vec<Vec<u8>> {
    let vectors: Value =
        serde_json::from_str(include_str!("vectors/spring_amqp.json")).expect("they are JSON");
    let messages = vectors["messages"].as_array().expect("there are messages");
    let read = |message_: &Value| {
        let body = hex::decode(message_["body_hex"].as_str()?).expect("it is hexadecimal");
        message(message_["properties"]["content_type"].as_str()?, &body)
    };
    messages.iter().filter_map(read).collect()
}

#[test]
fn the_function_takes_what_is_good() {
    for data in full() {
        assert!(matches!(messages::message(&data), Some(Ok(Incoming::Event(_)))));
    }
    let taken =
        bare().iter().filter(|data| matches!(messages::message(data), Some(Ok(Incoming::Bare(_))))).count();
    assert!(taken >= 8, "only {taken} of the bare numbers are read");
}

proptest! {
    #[test]
    fn decoding_bears_any_full_event(data in mutated(full())) {
        let _ = messages::message(&data);
    }

    #[test]
    fn decoding_bears_any_bare_number(data in mutated(bare())) {
        let _ = messages::message(&data);
    }
}
