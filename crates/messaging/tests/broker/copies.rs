//! What a copy in a retry or dead-letter queue keeps of its message, and what is believed of a message's headers.

use std::collections::BTreeSet;

use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable, LongString};
use messaging::{DeadLetters, EXCHANGE, header};

use crate::support::{Fixture, Obedient, Running, header_text, message, names, until};

#[tokio::test]
async fn a_publisher_can_neither_use_up_attempts_nor_pretend_another_routing_key() {
    let fixture = Fixture::new().await;
    let mut forged = message(EXCHANGE, "pay.success", "later");
    forged.headers.insert(header::ATTEMPTS.to_owned(), "7".to_owned());
    forged.headers.insert(header::ROUTING_KEY.to_owned(), "pay.refunded".to_owned());
    forged.headers.insert(header::FIRST_SEEN.to_owned(), "1999-01-01T00:00:00Z".to_owned());
    fixture.publisher.publish(vec![forged]).await.unwrap();
    let running = Running::start(fixture.consumer(), Obedient::default());
    let dead = fixture.take_soon(&fixture.queue.dead_letter_queue()).await.properties.clone();
    running.stop().await;
    assert_eq!(header_text(&dead, header::ROUTING_KEY).unwrap(), "pay.success");
    assert_eq!(header_text(&dead, header::DETAIL).unwrap(), "told: attempt 2", "all attempts were made");
    assert!(!header_text(&dead, header::FIRST_SEEN).unwrap().starts_with("1999"));
}

/// As a replay does, and a publisher that knows nothing of exchanges.
#[tokio::test]
async fn what_is_published_to_the_queue_itself_has_the_routing_key_of_its_binding() {
    let fixture = Fixture::new().await;
    fixture.publisher.publish(vec![message("", &fixture.queue.queue, "poison")]).await.unwrap();
    let running = Running::start(fixture.consumer(), Obedient::default());
    let dead = fixture.take_soon(&fixture.queue.dead_letter_queue()).await.properties.clone();
    running.stop().await;
    assert_eq!(header_text(&dead, header::ROUTING_KEY).unwrap(), "pay.success");
    assert_eq!(header_text(&dead, header::ATTEMPTS).unwrap(), "1");
}

#[tokio::test]
async fn a_copy_keeps_nothing_that_would_change_its_way_or_not_fit() {
    let fixture = Fixture::new().await;
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut headers = FieldTable::default();
    headers
        .insert("CC".into(), AMQPValue::FieldArray(FieldArray::from(vec![text("trade.pay.success.queue")])));
    headers.insert("x-death".into(), AMQPValue::FieldArray(FieldArray::default()));
    headers.insert("x-anything".into(), text("at all"));
    headers.insert("cloudEvents_id".into(), text("the id"));
    headers.insert("cloudEvents_source".into(), text(&"ä".repeat(50_000)));
    let hostile = BasicProperties::default()
        .with_headers(headers)
        .with_user_id("guest".into())
        .with_expiration("60000".into())
        .with_priority(9)
        .with_reply_to("somewhere".into());
    let connection = fixture.broker.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let options = BasicPublishOptions::default();
    channel.basic_publish(EXCHANGE.into(), "pay.success".into(), options, b"later", hostile).await.unwrap();
    fixture.publish(&names("good", 3)).await;

    let handler = Obedient::default();
    let running = Running::start(fixture.consumer(), handler.clone());
    let dead = fixture.take_soon(&fixture.queue.dead_letter_queue()).await;
    until("its neighbours are done", || handler.done_count() == 3).await;
    running.stop().await;
    let kept = &dead.properties;
    assert_eq!(
        (kept.user_id(), kept.expiration(), kept.priority(), kept.reply_to()),
        (&None, &None, &None, &None)
    );
    let names = kept.headers().as_ref().unwrap().inner().keys().map(ToString::to_string);
    // The broker's own, on every message taken from a quorum queue.
    let names: Vec<_> = names.filter(|name| name != "x-delivery-count").collect();
    let own = ["attempts", "consumer", "detail", "first-seen", "reason", "routing-key"];
    let own = own.map(|name| format!("x-payrelay-{name}"));
    assert_eq!(names[..2], ["cloudEvents_id", "cloudEvents_source"]);
    assert_eq!(names[2..], own);
    assert!(header_text(kept, "cloudEvents_source").unwrap().len() <= 1024);
    assert_eq!(header_text(kept, header::ATTEMPTS).unwrap(), "3");
    assert!(fixture.take(&fixture.queue.dead_letter_queue()).await.is_none(), "one copy, not two");
}

/// Nothing of it is ours, and whatever another client writes there the message is handled.
#[tokio::test]
async fn whatever_stands_in_properties_and_headers_is_borne() {
    let fixture = Fixture::new().await;
    let mut table = FieldTable::default();
    table.insert("inner".into(), AMQPValue::Void);
    let values = [
        AMQPValue::Boolean(true),
        AMQPValue::ShortShortInt(-1),
        AMQPValue::ShortShortUInt(1),
        AMQPValue::ShortInt(-1),
        AMQPValue::ShortUInt(1),
        AMQPValue::LongInt(-1),
        AMQPValue::LongUInt(1),
        AMQPValue::LongLongInt(-1),
        AMQPValue::Float(1.5),
        AMQPValue::Double(-1.5),
        AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 1999 }),
        AMQPValue::LongString(LongString::from(vec![0xff, 0xfe])),
        AMQPValue::Timestamp(u64::MAX),
        AMQPValue::FieldTable(table.clone()),
        AMQPValue::ByteArray(b"00-1-2-01".to_vec().into()),
        AMQPValue::Void,
    ];
    let connection = fixture.broker.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let names = [header::ATTEMPTS, header::FIRST_SEEN, header::ROUTING_KEY, header::TRACEPARENT, "x-death"];
    for (number, value) in values.iter().enumerate() {
        let mut headers = FieldTable::default();
        for name in names {
            headers.insert(name.into(), value.clone());
        }
        headers.insert("nested".into(), AMQPValue::FieldArray(FieldArray::from(vec![value.clone()])));
        let properties = BasicProperties::default()
            .with_headers(headers)
            .with_timestamp(u64::MAX)
            .with_message_id("x".repeat(255).into())
            .with_correlation_id("c".into())
            .with_reply_to("r".into())
            .with_content_encoding("identity".into())
            .with_app_id("a".into())
            .with_priority(9)
            .with_expiration("600000".into());
        // One is done, one retried and one dead-lettered: copies are made of their headers.
        for body in ["done", "later", "poison"] {
            let body = format!("{body}-{number}");
            let options = BasicPublishOptions::default();
            let published = channel
                .basic_publish(
                    EXCHANGE.into(),
                    "pay.success".into(),
                    options,
                    body.as_bytes(),
                    properties.clone(),
                )
                .await;
            published.unwrap().await.unwrap();
        }
    }
    let handler = Obedient::default();
    let running = Running::start(fixture.consumer(), handler.clone());
    until("all are handled", || {
        handler.done_count() == values.len() && handler.parked_count() == 2 * values.len()
    })
    .await;
    running.stop().await;
    let (depth, letters) = DeadLetters::look(&fixture.broker, &fixture.queue).await.unwrap().unwrap();
    assert_eq!((depth as usize, letters.len()), (2 * values.len(), 2 * values.len()));
    let reasons: BTreeSet<_> = letters.iter().map(|letter| letter.reason.as_str()).collect();
    assert_eq!(reasons, BTreeSet::from(["attempts_exhausted", "told"]));
    assert!(letters.iter().all(|letter| letter.routing_key == "pay.success"));
}
