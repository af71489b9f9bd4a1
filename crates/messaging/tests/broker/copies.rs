//! What a copy in a retry or dead-letter queue keeps of its message, and what is believed of a message's headers.

use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use messaging::{EXCHANGE, header};

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
