//! The forms in which an event or a bare order number may come, and what is neither.

use scenarios::{DEFAULT_MERCHANT, Shop, until};
use serde_json::{Map, Value, json};

use super::AMOUNT_MINOR;
use super::example::{Example, Orders};
use crate::upstream::{self, Publisher};

const JSON: &str = "application/json";

/// What can be read is taken, what can never be understood goes beside, and none is in the way of the others. Returns how many
/// payments there were.
pub(super) async fn all_are_taken_and_poison_goes_beside(
    example: &Example,
    shop: &Shop,
    publisher: &Publisher,
) -> i64 {
    let sold = events_of_every_spelling_are_counted(example, shop, publisher).await;
    example.has_sold(2 + sold).await;
    recharges_and_bare_numbers_are_taken(example, publisher).await;
    poison_goes_beside(example, publisher).await;
    // All bare numbers are those of one order.
    sold + i64::from(example.orders == Orders::Numbers)
}

/// By payrelay, too. Returns how many there were.
async fn events_of_every_spelling_are_counted(example: &Example, shop: &Shop, publisher: &Publisher) -> i64 {
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
    let event = |name: &str| success(example, name);
    let events = [
        ("J-1", "application/json; charset=utf-8", event("J-1")),
        ("J-2", "Application/JSON ;charset=UTF-8", snake_case(&event("J-2"))),
        ("J-3", JSON, numbers(event("J-3"))),
        ("J-4", JSON, snake_case(&numbers(event("J-4")))),
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
    i64::try_from(events.len()).expect("a few")
}

/// Nobody counts recharges. Bare order numbers, all of one order, count for those who know no amounts.
async fn recharges_and_bare_numbers_are_taken(example: &Example, publisher: &Publisher) {
    let order_no = example.order_no("R-1");
    for (purpose, order_no) in [(json!("PURPOSE_RECHARGE"), "recharge:R-1"), (json!(3), &order_no)] {
        let mut recharge = upstream::success(DEFAULT_MERCHANT, order_no);
        recharge["purpose"] = purpose;
        publisher.publish("pay.success", JSON, recharge.to_string().as_bytes()).await;
    }
    let serialized = [upstream::JAVA_LONG, &10001_i64.to_be_bytes()].concat();
    publisher.publish("pay.success", "application/x-java-serialized-object", &serialized).await;
    publisher.publish("pay.success", "text/plain;charset=utf-8", b"10001").await;
    for bare in ["10001", r#""10001""#, r#"{"orderNo":10001}"#, r#"{"order_no":"10001"}"#] {
        publisher.publish("pay.success", JSON, bare.as_bytes()).await;
    }
}

async fn poison_goes_beside(example: &Example, publisher: &Publisher) {
    let mut nobody = success(example, "J-5");
    nobody["merchantId"] = json!("");
    let mut refund = success(example, "J-6");
    refund["type"] = json!("PAY_EVENT_TYPE_REFUNDED");
    let (nobody, refund, nested) = (nobody.to_string(), refund.to_string(), "[".repeat(30_000));
    let dead_letters = format!("{}.dlq", example.queue);
    for (content_type, poison) in [
        ("application/protobuf", &b"\xff\xff"[..]),
        ("application/xml", b"10001"),
        (JSON, br#"["x"]"#),
        (JSON, br#"{"x":1}"#),
        (JSON, br#"{"orderNo":["x"]}"#),
        (JSON, b"true"),
        (JSON, b"null"),
        (JSON, b"1.5"),
        (JSON, b"{"),
        (JSON, nobody.as_bytes()),
        (JSON, refund.as_bytes()),
        (JSON, nested.as_bytes()),
    ] {
        is_dead_lettered(publisher, &dead_letters, content_type, poison).await;
    }
    if example.orders == Orders::Numbers {
        // Other classes are never loaded, and "010001" is another order than "10001".
        let map =
            b"\xac\xed\x00\x05sr\x00\x11java.util.HashMap\x05\x07\xda\xc1\xc3\x16\x60\xd1\x03\x00\x00xp";
        for (content_type, poison) in [
            ("application/x-java-serialized-object", &map[..]),
            ("text/plain", b"A-1"),
            ("text/plain", b"010001"),
            (JSON, b"9223372036854775808"),
        ] {
            is_dead_lettered(publisher, &dead_letters, content_type, poison).await;
        }
    }
}

async fn is_dead_lettered(publisher: &Publisher, dead_letters: &str, content_type: &str, poison: &[u8]) {
    publisher.publish("pay.success", content_type, poison).await;
    let (_, dead) = publisher.take(dead_letters).await;
    assert_eq!(String::from_utf8_lossy(&dead), String::from_utf8_lossy(poison));
}

/// A success of the order of this name.
fn success(example: &Example, name: &str) -> Value {
    upstream::success(DEFAULT_MERCHANT, &example.order_no(name))
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
