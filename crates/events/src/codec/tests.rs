use proptest::prelude::*;
use serde_json::{Value, json};
use time::{OffsetDateTime, macros::datetime};
use uuid::Uuid;

use super::*;
use crate::fixtures::{event, merchant};
use crate::{EventId, Purpose, Status};

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
fn proto3_json_is_written_as_its_specification_says() {
    let event = event();
    let text = json_of(&encode_protobuf(&event)).unwrap();
    assert_eq!(text, encode_json(&event).unwrap());
    let value: Value = serde_json::from_str(&text).unwrap();
    let fields = ["amountMinor", "version", "status", "paidAt", "occurredAt"]
        .map(|field| value[field].as_str().unwrap());
    assert_eq!(
        fields,
        ["1999", "2", "PAY_ORDER_STATUS_TRADE_SUCCESS", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01.500Z"]
    );
    assert_eq!(json_of(b"\x01"), None);
}

/// Every field, as it has been published ever since.
#[test]
fn what_is_published_stays_as_it_is_byte_for_byte() {
    let mut event = event();
    event.event_type = EventType::Refunded;
    event.occurred_at = datetime!(2026-01-01 00:00:01.000_005 UTC);
    event.order.status = Status::PartiallyRefunded;
    event.order.purpose = Purpose::Recharge;
    event.order.refunded_minor = 500;
    event.order.subject = Some("茶".to_owned());
    event.order.notify_url = Some("https://m.example/paid".to_owned());
    let protobuf = concat!(
        "0a2430313938303030302d303030302d373030302d383030302d303030303030303030303031",
        "10041a026d31220531303030312a02503130023806400348cf0f5203434e5958f403",
        "62046d61696e6a02543172060880f2d6ca067a090881f2d6ca061088278201",
        "1668747470733a2f2f6d2e6578616d706c652f706169648a0103783d31920103e88cb6",
    );
    assert_eq!(hex::encode(encode_protobuf(&event)), protobuf);
    let json = concat!(
        r#"{"amountMinor":"1999","attach":"x=1","channel":"main","channelTradeNo":"T1","currency":"CNY","#,
        r#""eventId":"01980000-0000-7000-8000-000000000001","merchantId":"m1","#,
        r#""notifyUrl":"https://m.example/paid","occurredAt":"2026-01-01T00:00:01.000005Z","orderNo":"10001","#,
        r#""paidAt":"2026-01-01T00:00:00Z","payOrderNo":"P1","purpose":"PURPOSE_RECHARGE","refundedMinor":"500","#,
        r#""status":"PAY_ORDER_STATUS_PARTIALLY_REFUNDED","subject":"茶","type":"PAY_EVENT_TYPE_REFUNDED","version":"2"}"#,
    );
    assert_eq!(encode_json(&event).unwrap(), json);
}

#[test]
fn a_format_is_named_and_has_its_content_type() {
    for (text, content_type) in [("protobuf", PROTOBUF), ("json", JSON)] {
        let format: Format = text.parse().unwrap();
        assert_eq!((format.to_string().as_str(), format.content_type()), (text, content_type));
    }
    assert!("JSON5".parse::<Format>().is_err_and(|error| error.contains("protobuf or json")));
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
        ("attach", json!("x\0"), "attach"),
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
fn a_purpose_is_kept_and_an_unknown_one_is_refused() {
    let mut of_recharge = event();
    of_recharge.order.purpose = Purpose::Recharge;
    let mut body = encode_protobuf(&of_recharge);
    let decoded = |body: &[u8]| decode(Some(PROTOBUF), "pay.success", body, None);
    assert_eq!(decoded(&body), Ok(Incoming::Event(Box::new(of_recharge))));
    body.extend([0x40, 9]); // the field 8 once more: the last one counts
    let error = decoded(&body).unwrap_err();
    assert!(error.reason() == "invalid" && error.to_string().contains("purpose"), "{error}");
}

#[test]
fn an_error_quotes_no_more_than_the_beginning_of_a_text() {
    let base: Value = serde_json::from_str(&encode_json(&event()).unwrap()).unwrap();
    for field in ["eventId", "merchantId", "orderNo", "payOrderNo", "channel", "currency", "paidAt"] {
        let mut message = base.clone();
        message[field] = "é".repeat(3_000).into();
        let error = decode_json_value(&message).unwrap_err().to_string();
        assert!(error.contains("ééé") && error.chars().count() < 200, "{field}: {error}");
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
    let mut long = encode_json(&event()).unwrap().into_bytes();
    long.resize(MAX_BODY_BYTES, b' ');
    assert!(decode(Some("application/json"), "pay.success", &long, None).is_ok());
    long.push(b' ');
    assert_eq!(decode(Some("application/json"), "pay.success", &long, None).unwrap_err().reason(), "invalid");
    for content_type in ["application/xml", "application", "protobuf", "text/plain-ish", "application/jsonp"]
    {
        let error = decode(Some(content_type), "pay.success", b"10001", Some(&merchant())).unwrap_err();
        assert_eq!(error.reason(), "undecodable");
        assert!(error.to_string().contains(content_type), "{error}");
    }
}

#[test]
fn content_types_have_cases_parameters_and_kin() {
    let event = event();
    let json = encode_json(&event).unwrap();
    for content_type in [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        " application/json ",
        "text/json",
        "application/vnd.acme.pay+json; v=1",
    ] {
        let got = decode(Some(content_type), "pay.success", json.as_bytes(), None);
        assert_eq!(got.unwrap(), Incoming::Event(Box::new(event.clone())), "{content_type}");
    }
    for content_type in [
        "application/protobuf",
        "APPLICATION/X-PROTOBUF",
        "application/protobuf; messageType=\"pay.v1.PayEvent\"",
        "application/x-protobuf;proto=pay.v1.PayEvent",
        "application/vnd.google.protobuf",
        "application/x-google-protobuf",
    ] {
        let got = decode(Some(content_type), "pay.success", &encode_protobuf(&event), None);
        assert_eq!(got.unwrap(), Incoming::Event(Box::new(event.clone())), "{content_type}");
    }
}

#[test]
fn without_a_content_type_a_body_tells_its_form_itself() {
    let event = event();
    let json = encode_json(&event).unwrap();
    for content_type in [None, Some(""), Some("application/octet-stream")] {
        let read = |body: &[u8]| decode(content_type, "pay.success", body, Some(&merchant())).unwrap();
        for body in [
            encode_protobuf(&event),
            json.clone().into_bytes(),
            format!("\u{feff} \r\n{json}\t").into_bytes(),
        ] {
            assert_eq!(read(&body), Incoming::Event(Box::new(event.clone())), "{content_type:?}");
        }
        for body in ["10001", " 10001\n", "\"10001\"", "{\"orderNo\": \"10001\"}"] {
            assert_eq!(bare_order_no(read(body.as_bytes())), "10001", "{content_type:?}");
        }
        let error = decode(content_type, "pay.success", b"\x1f\x8b\x08\0", Some(&merchant())).unwrap_err();
        assert!(error.to_string().contains("gzip"), "{error}");
    }
}

/// All fields, under both of their names.
const FIELDS: [(&str, &str); 18] = [
    ("eventId", "event_id"),
    ("type", "type"),
    ("merchantId", "merchant_id"),
    ("orderNo", "order_no"),
    ("payOrderNo", "pay_order_no"),
    ("version", "version"),
    ("status", "status"),
    ("purpose", "purpose"),
    ("amountMinor", "amount_minor"),
    ("currency", "currency"),
    ("refundedMinor", "refunded_minor"),
    ("channel", "channel"),
    ("channelTradeNo", "channel_trade_no"),
    ("paidAt", "paid_at"),
    ("occurredAt", "occurred_at"),
    ("notifyUrl", "notify_url"),
    ("attach", "attach"),
    ("subject", "subject"),
];

/// The event as publishers in other languages spell it: every line means the same.
#[test]
fn proto3_json_is_read_in_its_whole_grammar() {
    let event = event();
    let base: Value = serde_json::from_str(&encode_json(&event).unwrap()).unwrap();
    let unset = ["purpose", "refundedMinor", "notifyUrl", "subject"];
    let spelled = |changes: &[(&str, Value)]| {
        let mut message = base.clone();
        for (field, value) in changes {
            message[*field] = value.clone();
        }
        message
    };
    let nulls: Vec<_> = unset.map(|name| (name, Value::Null)).to_vec();
    let mut cases = vec![
        spelled(&nulls),
        spelled(&[("unknown", json!({"a": [1.5, null, {"b": 1e300}]})), ("x", Value::Null)]),
        spelled(&[("type", json!(1)), ("status", json!(3)), ("purpose", json!(1))]),
        spelled(&[("type", json!(1.0)), ("purpose", json!("PURPOSE_ORDER"))]),
        spelled(&[("amountMinor", json!(1999)), ("version", json!(2)), ("refundedMinor", json!(0))]),
        spelled(&[("amountMinor", json!("1.999e3")), ("version", json!(2.0)), ("refundedMinor", json!("0"))]),
        spelled(&[
            ("paidAt", json!("2026-01-01T08:00:00+08:00")),
            ("occurredAt", json!("2025-12-31T19:00:01.500000000-05:00")),
        ]),
        spelled(&[
            ("paidAt", json!("2026-01-01T00:00:00.000Z")),
            ("occurredAt", json!("2026-01-01T00:00:01.5Z")),
        ]),
    ];
    for (camel, snake) in FIELDS {
        let mut message = base.clone();
        if camel != snake {
            let value = message.as_object_mut().unwrap().remove(camel).unwrap_or_default();
            message[snake] = value;
            message[camel] = Value::Null;
            cases.push(message);
        }
    }
    assert_eq!(cases.len(), 18);
    for case in cases {
        let got = decode_json_value(&case);
        assert_eq!(got, Ok(Incoming::Event(Box::new(event.clone()))), "{case}");
    }
    assert_eq!(
        bare_order_no(decode_json_value(&json!({"orderNo": "A1", "amountMinor": null})).unwrap()),
        "A1"
    );
}

#[test]
fn what_proto3_json_does_not_allow_is_refused_by_its_field() {
    let base: Value = serde_json::from_str(&encode_json(&event()).unwrap()).unwrap();
    for (field, value) in [
        ("amountMinor", json!(19.99)),
        ("amountMinor", json!("")),
        ("amountMinor", json!("19 99")),
        ("amountMinor", json!(true)),
        ("amountMinor", json!("9223372036854775808")),
        ("amountMinor", json!("1e9223372036854775807")),
        ("version", json!([2])),
        ("merchantId", json!(5)),
        ("type", json!("SUCCESS")),
        ("type", json!("1")),
        ("type", json!(9)),
        ("status", json!(1.5)),
        ("purpose", json!("PURPOSE_GIFT")),
        ("paidAt", json!("2026-01-01")),
        ("paidAt", json!(1_767_225_600)),
        ("attach", json!({})),
    ] {
        let mut message = base.clone();
        message[field] = value.clone();
        let error = decode_json_value(&message).unwrap_err();
        let told = error.to_string();
        assert!(error.reason() == "invalid" && told.contains(field), "{field} {value}: {told}");
        let is_number = ["amountMinor", "version"].contains(&field);
        assert_eq!(told.contains("expected a whole number of 64 bits"), is_number, "{field} {value}: {told}");
    }
    let text = base.to_string();
    for twice in ["\"amountMinor\":1999,", "\"amount_minor\":1999,"] {
        let body = text.replacen('{', &format!("{{{twice}"), 1);
        let error = decode(Some(JSON), "pay.success", body.as_bytes(), None).unwrap_err();
        assert_eq!(error.reason(), "invalid", "{error}");
        assert!(error.to_string().contains("amountMinor"), "{error}");
    }
    for body in [&text[1..], "", "{", "[]", "null", &format!("{text}{text}"), "\u{feff}\u{feff}{}"] {
        let error = decode(Some(JSON), "pay.success", body.as_bytes(), None).unwrap_err();
        assert_eq!(error.reason(), "undecodable", "{body}: {error}");
    }
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
