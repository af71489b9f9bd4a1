use proptest::prelude::*;
use serde_json::{Value, json};
use time::{OffsetDateTime, macros::datetime};
use uuid::Uuid;

use super::*;
use crate::{ChannelAccount, Currency, EventId, Money, PayOrder, PayOrderNo, Purpose, Status};

fn merchant() -> MerchantId {
    MerchantId::parse("m1").unwrap()
}

fn event() -> PayEvent {
    PayEvent {
        event_id: EventId::generate(),
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

fn decode_json_value(value: &Value) -> Result<Incoming, DecodeError> {
    decode(Some(JSON), "pay.success", value.to_string().as_bytes(), Some(&merchant()))
}

fn bare_order_no(incoming: Incoming) -> String {
    match incoming {
        Incoming::Bare(bare) => bare.order_no.to_string(),
        Incoming::Event(event) => panic!("a bare order number, not {event:?}"),
    }
}

fn hex_bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

#[test]
fn spring_amqp_messages_decode_as_they_were_meant() {
    let vectors: Value = serde_json::from_str(include_str!("../../tests/vectors/spring_amqp.json")).unwrap();
    let messages = vectors["messages"].as_array().unwrap();
    assert!(messages.len() > 10);
    for message in messages {
        let body = hex_bytes(message["body_hex"].as_str().unwrap());
        let content_type = message["properties"]["content_type"].as_str();
        let got = decode(content_type, "pay.success", &body, Some(&merchant()));
        if message["expect"].as_str().is_some_and(|expect| expect.starts_with("reject")) {
            assert_eq!(got.unwrap_err().reason(), "undecodable", "{}", message["name"]);
            continue;
        }
        let expected = match &message["decoded"] {
            Value::String(text) => text.clone(),
            Value::Object(fields) => fields["orderNo"].as_str().unwrap().to_owned(),
            number => number.to_string(),
        };
        assert_eq!(bare_order_no(got.unwrap()), expected, "{}", message["name"]);
    }
}

#[test]
fn a_bare_number_takes_its_type_from_the_routing_key_and_needs_a_merchant() {
    let incoming =
        decode(Some("text/plain; charset=UTF-8"), "pay.closed", b" 10001\n", Some(&merchant())).unwrap();
    let expected = BareOrder {
        event_type: EventType::Closed,
        merchant_id: merchant(),
        order_no: OrderNo::parse("10001").unwrap(),
    };
    assert_eq!(incoming, Incoming::Bare(expected));
    assert_eq!(decode(Some(TEXT), "pay.closed", b"10001", None).unwrap_err().reason(), "invalid");
}

#[test]
fn json_objects_with_nothing_but_an_order_number_are_bare() {
    assert_eq!(bare_order_no(decode_json_value(&json!({"orderNo": "A1"})).unwrap()), "A1");
    assert_eq!(bare_order_no(decode_json_value(&json!({"order_no": 7})).unwrap()), "7");
    for wrong in [json!({"orderNo": "A1", "amount": 5}), json!({}), json!({"orderNo": "A1", "colour": "red"})]
    {
        assert_eq!(decode_json_value(&wrong).unwrap_err().reason(), "invalid", "{wrong}");
    }
    for wrong in [json!(1.5), json!(null), json!([1]), json!({"orderNo": {}})] {
        assert_eq!(decode_json_value(&wrong).unwrap_err().reason(), "undecodable", "{wrong}");
    }
}

#[test]
fn proto3_json_takes_both_spellings_of_a_field() {
    let event = event();
    let text = encode_json(&event).unwrap();
    let mut value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(decode_json_value(&value).unwrap(), Incoming::Event(Box::new(event.clone())));
    let merchant = value.as_object_mut().unwrap().remove("merchantId").unwrap();
    value["merchant_id"] = merchant;
    assert_eq!(decode_json_value(&value).unwrap(), Incoming::Event(Box::new(event)));
}

#[test]
fn wrong_fields_are_named() {
    let base: Value = serde_json::from_str(&encode_json(&event()).unwrap()).unwrap();
    let cases = [
        ("eventId", json!("42"), "event_id"),
        ("type", json!("PAY_EVENT_TYPE_UNSPECIFIED"), "type"),
        ("type", json!("PAY_EVENT_TYPE_FAILED"), "status"),
        ("status", json!("PAY_ORDER_STATUS_UNSPECIFIED"), "status"),
        ("status", json!("PAY_ORDER_STATUS_TRADE_CLOSED"), "status"),
        ("amountMinor", json!("0"), "amount_minor"),
        ("amountMinor", json!("-5"), "amount_minor"),
        ("currency", json!("RMB"), "currency"),
        ("refundedMinor", json!("5"), "refunded_minor"),
        ("version", json!("0"), "version"),
        ("merchantId", json!(""), "merchant_id"),
        ("orderNo", json!("a b"), "order_no"),
        ("paidAt", json!(null), "paid_at"),
        ("occurredAt", json!(null), "occurred_at"),
        ("attach", json!("x".repeat(3_000)), "attach"),
    ];
    for (field, value, named) in cases {
        let mut message = base.clone();
        message[field] = value;
        let error = decode_json_value(&message).unwrap_err();
        assert_eq!(error.reason(), "invalid", "{field}");
        assert!(error.to_string().contains(named), "{field}: {error}");
    }
}

#[test]
fn the_routing_key_and_the_type_must_agree() {
    let body = encode_protobuf(&event());
    assert!(decode(Some(PROTOBUF), "pay.success", &body, None).is_ok());
    for key in ["pay.closed", "pay.task", "", "trade.pay.success.queue"] {
        assert_eq!(decode(Some(PROTOBUF), key, &body, None).unwrap_err().reason(), "invalid", "{key}");
    }
}

#[test]
fn what_is_too_long_or_of_no_known_type_is_refused() {
    let long = vec![b'1'; MAX_BODY_BYTES + 1];
    assert_eq!(decode(Some(TEXT), "pay.success", &long, Some(&merchant())).unwrap_err().reason(), "invalid");
    for content_type in [None, Some(""), Some("application/xml")] {
        let error = decode(content_type, "pay.success", b"10001", Some(&merchant())).unwrap_err();
        assert_eq!(error.reason(), "undecodable");
    }
}

#[test]
fn an_event_of_the_day_after_tomorrow_is_refused() {
    let event = event();
    assert!(event.check_clock(event.occurred_at - PayEvent::MAX_AHEAD).is_ok());
    assert!(event.check_clock(event.occurred_at - PayEvent::MAX_AHEAD - time::Duration::SECOND).is_err());
}

prop_compose! {
    fn any_event()(
        id in any::<u128>(),
        micros in 0_i64..4_102_444_800_000_000,
        total in 1_i64..,
        version in 1_i64..,
        which in 0_usize..5,
        share in 0.0_f64..1.0,
        trade in proptest::option::of("[A-Za-z0-9]{1,40}"),
        attach in proptest::option::of("[^\\x00]{1,200}"),
    ) -> PayEvent {
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).unwrap();
        let mut event = event();
        event.event_id = EventId(Uuid::from_u128(id));
        event.occurred_at = time;
        let (event_type, status) = [
            (EventType::Success, Status::TradeSuccess),
            (EventType::Failed, Status::TradeFailed),
            (EventType::Closed, Status::TradeClosed),
            (EventType::Refunded, Status::TradeRefunded),
            (EventType::Refunded, Status::PartiallyRefunded),
        ][which];
        let total = if status == Status::PartiallyRefunded { total.max(2) } else { total };
        event.event_type = event_type;
        event.order.status = status;
        event.order.refunded_minor = match status {
            Status::TradeRefunded => total,
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "any part will do")]
            Status::PartiallyRefunded => ((total as f64 * share) as i64).clamp(1, total - 1),
            _ => 0,
        };
        event.order.amount.amount_minor = total;
        event.order.version = version;
        event.order.paid_at = status.is_paid().then_some(time);
        event.order.channel_trade_no = trade;
        event.order.attach = attach;
        event
    }
}

proptest! {
    #[test]
    fn events_survive_protobuf_and_json(event in any_event()) {
        let key = event.event_type.as_str();
        let protobuf = decode(Some(PROTOBUF), key, &encode_protobuf(&event), None).unwrap();
        prop_assert_eq!(&protobuf, &Incoming::Event(Box::new(event.clone())));
        let json = decode(Some(JSON), key, encode_json(&event).unwrap().as_bytes(), None).unwrap();
        prop_assert_eq!(json, protobuf);
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..300), which in 0_usize..4) {
        let content_type = [PROTOBUF, JSON, TEXT, JAVA][which];
        let _ = decode(Some(content_type), "pay.success", &body, Some(&merchant()));
    }

    #[test]
    fn every_java_long_is_read(number in any::<i64>()) {
        let vectors: Value = serde_json::from_str(include_str!("../../tests/vectors/spring_amqp.json")).unwrap();
        let mut body = hex_bytes(vectors["java_long_prefix_hex"].as_str().unwrap());
        body.extend(number.to_be_bytes());
        let got = bare_order_no(decode(Some(JAVA), "pay.success", &body, Some(&merchant())).unwrap());
        prop_assert_eq!(got, number.to_string());
    }
}
