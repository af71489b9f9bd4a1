//! A topology compared with what the broker holds.

use devstack::testing::Vhost;
use lapin::ExchangeKind;
use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use messaging::{Broker, RetryDelays, Topology, main_queue_arguments};

/// Replaces a queue by one that lacks or changes one argument of a main queue.
async fn replace(broker: &Broker, queue: &str, argument: &str, value: Option<i64>) {
    let mut arguments = FieldTable::default();
    for (name, value) in main_queue_arguments(queue).into_iter().filter(|(name, _)| name != argument) {
        let value = value.as_str().map_or_else(
            || AMQPValue::LongLongInt(value.as_i64().unwrap()),
            |text| AMQPValue::LongString(text.into()),
        );
        arguments.insert(name.as_str().into(), value);
    }
    if let Some(value) = value {
        arguments.insert(argument.into(), AMQPValue::LongLongInt(value));
    }
    let connection = broker.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), durable, arguments).await.unwrap();
    messaging::close(&connection).await;
}

#[tokio::test]
async fn a_topology_is_missing_then_sound_then_spoiled() {
    let vhost = tokio::task::spawn_blocking(Vhost::create).await.unwrap();
    let topology = Topology::payrelay(&RetryDelays::default());
    let broker = Broker::new(vhost.amqp_url(), "test").unwrap();
    let missing = broker.inspect(&topology).await.unwrap();
    assert_eq!(missing.len(), 4 + 3 + 2 * 8);
    assert!(missing.iter().all(|finding| finding.code.ends_with("_missing")), "{missing:?}");
    assert_eq!(broker.mismatched(&topology).await, [], "what is missing can still be declared");
    assert_eq!(broker.inspect(&topology).await.unwrap().len(), missing.len(), "looking declares nothing");

    broker.declare(&topology).await.unwrap();
    assert_eq!(broker.inspect(&topology).await.unwrap(), []);

    replace(&broker, "trade.pay.success.queue", "x-overflow", None).await;
    replace(&broker, "trade.pay.failed.queue", "x-dead-letter-routing-key", None).await;
    replace(&broker, "trade.pay.closed.queue", "x-delivery-limit", Some(3)).await;
    let connection = broker.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let dead = "merchant.pay.success.queue.dlq";
    channel.queue_delete(dead.into(), QueueDeleteOptions::default()).await.unwrap();
    channel.exchange_delete("pay.retry.5s".into(), ExchangeDeleteOptions::default()).await.unwrap();
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let topic =
        channel.exchange_declare("pay.retry.5s".into(), ExchangeKind::Topic, durable, FieldTable::default());
    topic.await.unwrap();

    let findings = broker.inspect(&topology).await.unwrap();
    let mut different = broker.mismatched(&topology).await;
    different.sort_unstable_by(|a, b| a.subject.cmp(&b.subject));
    let subjects: Vec<_> = different.iter().map(|finding| finding.subject.as_str()).collect();
    let spoiled = [
        "exchange pay.retry.5s",
        "queue trade.pay.closed.queue",
        "queue trade.pay.failed.queue",
        "queue trade.pay.success.queue",
    ];
    assert_eq!(subjects, spoiled, "{findings:?}");
    let missing: Vec<_> = findings.iter().filter(|finding| !different.contains(finding)).collect();
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!((missing[0].code, missing[0].subject.as_str()), ("queue_missing", &*format!("queue {dead}")));

    let refused = broker.declare(&topology).await.unwrap_err();
    assert!(matches!(refused, messaging::Error::Spoiled(_)), "{refused}");
    assert!(refused.to_string().contains("payrelay topology check"), "{refused}");
}

#[tokio::test]
async fn a_broker_that_is_away_spoils_nothing() {
    let broker = Broker::new("amqp://127.0.0.1:1", "test").unwrap();
    assert_eq!(broker.mismatched(&Topology::payrelay(&RetryDelays::default())).await, []);
}
