use lapin::types::{FieldArray, FieldTable};

use super::*;

fn letter(headers: Value) -> DeadLetter {
    let Value::Object(headers) = headers else { panic!("headers are an object") };
    let why = Why::of(&headers);
    DeadLetter {
        routing_key: why.routing_key.unwrap_or_default(),
        message_id: Some("id".to_owned()),
        kind: None,
        content_type: Some("text/plain".to_owned()),
        timestamp: None,
        reason: why.reason,
        detail: why.detail,
        attempts: why.attempts,
        first_seen: why.first_seen,
        headers,
        body: Bytes::from_static(b"10001"),
        tag: 1,
    }
}

#[test]
fn a_copy_of_a_consumer_says_why_it_is_here() {
    let letter = letter(json!({
        "x-payrelay-reason": "amount_mismatch", "x-payrelay-detail": "1 is not 2", "x-payrelay-attempts": 3,
        "x-payrelay-first-seen": "2026-01-01T00:00:00Z", "x-payrelay-routing-key": "pay.refunded",
    }));
    assert_eq!((letter.reason.as_str(), letter.attempts), ("amount_mismatch", Some(3)));
    assert_eq!(letter.detail.as_deref(), Some("1 is not 2"));
    assert_eq!(letter.first_seen.map(OffsetDateTime::unix_timestamp), Some(1_767_225_600));
    assert_eq!(letter.routing_key, "pay.refunded");
}

#[test]
fn what_the_broker_dead_lettered_believes_no_header_of_a_publisher() {
    let death = |exchange: &str| {
        json!({
            "x-death": [{ "reason": "delivery_limit", "exchange": exchange, "routing-keys": ["pay.success"], "time": 1 }],
            "x-payrelay-reason": "forged", "x-payrelay-attempts": 9, "x-payrelay-routing-key": "pay.refunded",
        })
    };
    let direct = letter(death("pay.direct"));
    assert_eq!((direct.reason.as_str(), direct.attempts), ("delivery_limit", None));
    assert_eq!(direct.routing_key, "pay.success");
    assert_eq!(direct.first_seen, Some(OffsetDateTime::UNIX_EPOCH + time::Duration::SECOND));
    assert_eq!(letter(death("")).routing_key, "pay.refunded", "it had come home from a retry queue");
    assert_eq!(letter(json!({})).reason, "unknown");
}

#[test]
fn a_replay_keeps_what_the_publisher_said_and_nothing_that_changes_its_way() {
    let letter = letter(json!({
        "x-payrelay-reason": "told", "x-payrelay-attempts": 4, "x-payrelay-routing-key": "pay.success",
        "x-death": [], "CC": ["elsewhere"], "BCC": ["elsewhere"], "x-delay": "1", "traceparent": "00-1-2-01",
        "of-the-publisher": "kept", "number": 7, "too-long": "x".repeat(40_000),
    }));
    let queue = ConsumerQueue::new("trade", "pay.success");
    let message = letter.replayed(&queue);
    assert_eq!((message.exchange.as_str(), message.routing_key.as_str()), ("", "trade.pay.success.queue"));
    assert_eq!((message.message_id.as_str(), message.content_type.as_str()), ("id", "text/plain"));
    let headers: Vec<_> =
        message.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let kept = [
        ("of-the-publisher", "kept"),
        ("traceparent", "00-1-2-01"),
        ("x-payrelay-routing-key", "pay.success"),
    ];
    assert_eq!(headers, kept);
}

#[test]
fn headers_of_every_kind_are_shown() {
    let mut inner = FieldTable::default();
    inner.insert("count".into(), AMQPValue::LongLongInt(2));
    let mut table = FieldTable::default();
    let array = FieldArray::from(vec![AMQPValue::FieldTable(inner), AMQPValue::Boolean(true)]);
    table.insert("array".into(), AMQPValue::FieldArray(array));
    table.insert("bytes".into(), AMQPValue::ByteArray(vec![1, 255].into()));
    table.insert("void".into(), AMQPValue::Void);
    let shown = Value::Object(object(&table));
    assert_eq!(shown, json!({ "array": [{ "count": 2 }, true], "bytes": [1, 255], "void": null }));
}
