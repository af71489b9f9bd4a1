//! The forms in which an event or a bare order number may come, and what is neither.

use scenarios::{DEFAULT_MERCHANT, Shop, until};
use serde_json::{Map, Value, json};

use super::AMOUNT_MINOR;
use super::example::{Example, Orders};
use crate::upstream::{self, Publisher};

/// Events in every spelling are counted, by payrelay too; recharges are passed over, and bare order numbers by all who want events; what can
/// never be understood goes beside; and none is in the way of the others. Returns how many payments there were.
pub(super) async fn all_are_taken_and_poison_goes_beside(
    example: &Example,
    shop: &Shop,
    publisher: &Publisher,
) -> i64 {
    let json = "application/json";
    let numbers = |mut event: Value| {
        event["type"] = json!(1);
        event["status"] = json!(3);
        event["amountMinor"] = json!(AMOUNT_MINOR);
        event
    };
    let unset = |mut event: Value| {
        for field in ["attach", "notifyUrl", "subject", "refundedMinor", "order_no"] {
            event[field] = Value::Null;
        }
        event["comment"] = json!("not of this message");
        event
    };
    let event = |name: &str| upstream::success(DEFAULT_MERCHANT, &example.order_no(name));
    let events = [
        ("J-1", "application/json; charset=utf-8", event("J-1")),
        ("J-2", "Application/JSON ;charset=UTF-8", snake_case(&event("J-2"))),
        ("J-3", json, numbers(event("J-3"))),
        ("J-4", json, snake_case(&numbers(event("J-4")))),
        ("J-6", "application/vnd.acme.pay+json", unset(event("J-6"))),
    ];
    for (name, content_type, event) in &events {
        shop.create_order(&example.order_no(name), AMOUNT_MINOR).await;
        publisher.publish("pay.success", content_type, event.to_string().as_bytes()).await;
    }
    for (name, ..) in &events {
        let order_no = example.order_no(name);
        until(&format!("payment of {order_no}"), async || {
            let order = shop.order(&order_no).await;
            if order["status"] == "PAID" { Ok(()) } else { Err(order.to_string()) }
        })
        .await;
    }
    let sold = i64::try_from(events.len()).expect("a few");
    example.has_sold(2 + sold).await;

    let order_no = example.order_no("R-1");
    for (purpose, order_no) in [(json!("PURPOSE_RECHARGE"), "recharge:R-1"), (json!(3), &order_no)] {
        let mut recharge = upstream::success(DEFAULT_MERCHANT, order_no);
        recharge["purpose"] = purpose;
        publisher.publish("pay.success", json, recharge.to_string().as_bytes()).await;
    }
    let serialized = [upstream::JAVA_LONG, &10001_i64.to_be_bytes()].concat();
    publisher.publish("pay.success", "application/x-java-serialized-object", &serialized).await;
    publisher.publish("pay.success", "text/plain;charset=utf-8", b"10001").await;
    for bare in ["10001", r#""10001""#, r#"{"orderNo":10001}"#, r#"{"order_no":"10001"}"#] {
        publisher.publish("pay.success", json, bare.as_bytes()).await;
    }
    let mut nobody = event("J-5");
    nobody["merchantId"] = json!("");
    let mut refund = event("J-6");
    refund["type"] = json!("PAY_EVENT_TYPE_REFUNDED");
    let (nobody, refund, nested) = (nobody.to_string(), refund.to_string(), "[".repeat(30_000));
    let dead_letters = format!("{}.dlq", example.queue);
    for (content_type, poison) in [
        ("application/protobuf", &b"\xff\xff"[..]),
        ("application/xml", b"10001"),
        (json, br#"["x"]"#),
        (json, br#"{"x":1}"#),
        (json, br#"{"orderNo":["x"]}"#),
        (json, b"true"),
        (json, b"null"),
        (json, b"1.5"),
        (json, b"{"),
        (json, nobody.as_bytes()),
        (json, refund.as_bytes()),
        (json, nested.as_bytes()),
    ] {
        publisher.publish("pay.success", content_type, poison).await;
        let (_, dead) = publisher.take(&dead_letters).await;
        assert_eq!(String::from_utf8_lossy(&dead), String::from_utf8_lossy(poison));
    }
    // All bare numbers are those of one order.
    sold + i64::from(example.orders == Orders::Numbers)
}

/// The same with the names of the schema.
fn snake_case(event: &Value) -> Value {
    let mut fields = Map::new();
    for (name, value) in event.as_object().into_iter().flatten() {
        let mut snake = String::new();
        for letter in name.chars() {
            if letter.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
        }
        fields.insert(snake, value.clone());
    }
    Value::Object(fields)
}
