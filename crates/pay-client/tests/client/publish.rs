use lapin::types::AMQPValue;
use pay_client::{ConfigError, EventType, PublishError, Publisher, RetryDelays};

use crate::support::{Fixture, connected, event, header};

#[tokio::test]
async fn an_event_is_published_as_the_contract_says() {
    let fixture = Fixture::new().await;
    fixture.queue("other", &["pay.refunded"], &[]).await;
    let publisher = connected(Publisher::new(fixture.vhost.amqp_url(), "billing").unwrap()).await;
    let event = event(EventType::Refunded, "10001");
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(publisher.traced(traceparent).publish(&event).await, Ok(()));

    let got = fixture.take("other").await;
    let (properties, event_id) = (&got.properties, event.event_id.to_string());
    let text = |text: &Option<lapin::types::ShortString>| text.as_ref().map(ToString::to_string);
    assert_eq!(*properties.delivery_mode(), Some(2), "persistent");
    assert_eq!(text(properties.message_id()), Some(event_id.clone()));
    assert_eq!(text(properties.kind()), Some("pay.refunded".to_owned()));
    assert_eq!(text(properties.content_type()), Some("application/protobuf".to_owned()));
    assert_eq!(*properties.timestamp(), u64::try_from(event.occurred_at.unix_timestamp()).ok());
    for (name, value) in [
        ("cloudEvents_specversion", "1.0"),
        ("cloudEvents_id", &event_id),
        ("cloudEvents_source", "/billing"),
        ("cloudEvents_type", "pay.refunded"),
        ("cloudEvents_subject", "UP-10001"),
        ("traceparent", traceparent),
    ] {
        assert_eq!(header(&got, name), value, "{name}");
    }
}

#[tokio::test]
async fn every_event_of_a_batch_has_a_result_of_its_own() {
    let fixture = Fixture::new().await;
    fixture.queue("other", &["pay.success"], &[]).await;
    let publisher = connected(Publisher::new(fixture.vhost.amqp_url(), "billing").unwrap()).await;
    let mut contradictory = event(EventType::Success, "3");
    contradictory.order.refunded_minor = 1;
    let mut early = event(EventType::Success, "4");
    early.occurred_at += time::Duration::days(2);
    let events = [
        event(EventType::Success, "1"),
        event(EventType::Closed, "2"),
        contradictory,
        early,
        event(EventType::Success, "5"),
    ];
    let results = publisher.publish_all(&events).await;
    assert!(matches!(results[1], Err(PublishError::Unroutable(_))), "{results:?}");
    for (result, field) in [(&results[2], "refunded_minor"), (&results[3], "occurred_at")] {
        let Err(error @ PublishError::Invalid(detail)) = result else { panic!("{results:?}") };
        assert!(detail.contains(field) && !error.is_retryable(), "{detail}");
    }
    assert_eq!((&results[0], &results[4], results.len()), (&Ok(()), &Ok(()), 5));
    for sent in [&events[0], &events[4]] {
        assert_eq!(header(&fixture.take("other").await, "cloudEvents_id"), sent.event_id.to_string());
    }
}

#[tokio::test]
async fn what_is_not_taken_now_may_be_published_again() {
    let fixture = Fixture::new().await;
    let publisher = connected(Publisher::new(fixture.vhost.amqp_url(), "billing").unwrap()).await;
    let event = event(EventType::Success, "10001");
    let unroutable = publisher.publish(&event).await.unwrap_err();
    assert!(matches!(unroutable, PublishError::Unroutable(_)) && unroutable.is_retryable(), "{unroutable}");

    let full = [
        ("x-overflow", AMQPValue::LongString("reject-publish".into())),
        ("x-max-length", AMQPValue::LongInt(0)),
    ];
    fixture.queue("full", &["pay.success"], &full).await;
    let refused = publisher.publish(&event).await.unwrap_err();
    assert!(refused == PublishError::Refused && refused.is_retryable(), "{refused}");

    let nowhere = format!("amqp://guest:guest@127.0.0.1:{}", devstack::testing::free_port());
    let away = Publisher::new(&nowhere, "billing").unwrap().publish(&event).await.unwrap_err();
    assert!(matches!(away, PublishError::Unconfirmed(_)) && away.is_retryable(), "{away}");
}

/// The queues of payrelay's consumers for a success.
const OURS: [&str; 2] = ["trade.pay.success.queue", "merchant.pay.success.queue"];

#[tokio::test]
async fn a_declaring_publisher_misses_no_consumer_of_a_broker_that_came_back_empty() {
    let fixture = Fixture::new().await;
    fixture.queue("quick", &["pay.success"], &[]).await;
    let rights = r"^(pay\.|trade\.|merchant\.|payrelay\.declaring$|amq\.default$)";
    let url = fixture.vhost.narrowed([rights; 3]);
    let publisher = connected(Publisher::declaring(&url, "billing", &RetryDelays::default()).unwrap()).await;
    let event = event(EventType::Success, "1");
    assert_eq!(publisher.publish(&event).await, Ok(()));
    for queue in ["quick"].into_iter().chain(OURS) {
        assert_eq!(
            header(&fixture.take(queue).await, "cloudEvents_id"),
            event.event_id.to_string(),
            "{queue}"
        );
    }
}

#[tokio::test]
async fn the_rights_of_a_plain_publisher_suffice_and_make_no_queue() {
    let fixture = Fixture::new().await;
    let direct = r"^pay\.direct$";
    let url = fixture.vhost.narrowed([direct, direct, "^$"]);
    let event = event(EventType::Success, "1");
    let publisher = connected(Publisher::new(&url, "billing").unwrap()).await;
    assert!(matches!(publisher.publish(&event).await, Err(PublishError::Unroutable(_))));
    fixture.queue("quick", &["pay.success"], &[]).await;
    assert_eq!(publisher.publish(&event).await, Ok(()));

    let declaring = Publisher::declaring(&url, "billing", &RetryDelays::default()).unwrap();
    let refused = declaring.publish(&event).await.unwrap_err();
    assert!(matches!(refused, PublishError::Unconfirmed(_)) && refused.is_retryable(), "{refused}");
}

#[tokio::test]
async fn wrong_settings_are_named() {
    let name = |name: &str| Publisher::new("amqp://mq", name).unwrap_err();
    for wrong in ["", "Billing", "a b", "/payrelay/ingress", &"x".repeat(33)] {
        assert!(matches!(name(wrong), ConfigError::Name(_)), "{wrong}");
    }
    for own in ["trade", "merchant"] {
        assert_eq!(name(own), ConfigError::Reserved(own.to_owned()));
    }
    assert!(matches!(Publisher::new("http://mq", "billing").unwrap_err(), ConfigError::Url(_)));
    for (url, name) in [("billing", "amqp://x:hunter2@mq"), ("amqp://x:hunter2@mq:port", "billing")] {
        let told = Publisher::new(url, name).unwrap_err().to_string();
        assert!(!told.contains("hunter2"), "{told}");
    }
}
