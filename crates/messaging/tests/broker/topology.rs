//! The topology as declared, and as generated for a broker that is set up before.

use devstack::testing::Vhost;
use messaging::{Broker, ConsumerQueue, PublishOutcome, RetryDelays, Topology, definitions};
use serde_json::Value;

use crate::support::{Fixture, message};

#[tokio::test]
async fn declaring_twice_changes_nothing_and_other_arguments_are_refused() {
    let fixture = Fixture::new().await;
    let topology = Topology::payrelay(&fixture.retry);
    fixture.broker.declare(&topology).await.unwrap();
    fixture.broker.declare(&topology).await.unwrap();

    let connection = fixture.broker.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let plain = channel
        .queue_declare(
            "trade.pay.success.queue".into(),
            lapin::options::QueueDeclareOptions::default(),
            lapin::types::FieldTable::default(),
        )
        .await;
    assert!(plain.unwrap_err().to_string().contains("PRECONDITION"), "a queue of other arguments is refused");
}

/// Quorum queues may stay without a leader when several make the same one at the same moment.
#[tokio::test]
async fn many_may_declare_at_once_on_an_empty_broker() {
    let fixture = Fixture::new().await;
    let topology = Topology::payrelay(&fixture.retry);
    let declarations = (0..8).map(|_| fixture.broker.declare(&topology));
    for declared in futures_util::future::join_all(declarations).await {
        declared.unwrap();
    }

    assert_eq!(fixture.broker.inspect(&topology).await.unwrap(), [], "everything is there");
    for queue in &topology.queues {
        let message = message("", &queue.queue, "to be confirmed by a leader");
        let outcomes = fixture.publisher.publish(vec![message]).await.unwrap();
        assert_eq!(outcomes, [PublishOutcome::Confirmed], "{}", queue.queue);
    }
    let connection = fixture.broker.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let passive = lapin::options::QueueDeclareOptions { passive: true, ..Default::default() };
    let turn = channel
        .queue_declare("payrelay.declaring".into(), passive, lapin::types::FieldTable::default())
        .await;
    assert!(turn.unwrap_err().to_string().contains("NOT_FOUND"), "nobody holds the turn any more");
}

#[tokio::test]
async fn any_client_may_declare_the_exchange_plainly() {
    let fixture = Fixture::new().await;
    let connection = fixture.broker.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let durable = lapin::options::ExchangeDeclareOptions { durable: true, ..Default::default() };
    let arguments = lapin::types::FieldTable::default();
    channel
        .exchange_declare(messaging::EXCHANGE.into(), lapin::ExchangeKind::Direct, durable, arguments)
        .await
        .unwrap();
}

#[test]
fn the_generated_definitions_hold_every_queue_with_its_dead_letter_queue() {
    let definitions = definitions(&Topology::payrelay(&RetryDelays::default()), "/");
    let names = |what: &str| -> Vec<String> {
        let values = definitions[what].as_array().unwrap().iter();
        values.map(|value| value["name"].as_str().unwrap().to_owned()).collect()
    };
    let queues = names("queues");
    for consumer in ["trade", "merchant"] {
        for key in ["pay.success", "pay.failed", "pay.closed", "pay.refunded"] {
            let queue = ConsumerQueue::new(consumer, key);
            assert!(
                queues.contains(&queue.queue) && queues.contains(&queue.dead_letter_queue()),
                "{}",
                queue.queue
            );
        }
    }
    assert_eq!(names("exchanges"), ["pay.direct", "pay.retry.5s", "pay.retry.30s", "pay.retry.5m"]);
    assert_eq!(queues.len(), 3 + 2 * 8);
}

/// `cargo xtask generate` writes the file anew.
#[test]
fn the_definitions_of_the_deployment_are_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/rabbitmq/definitions.json");
    let generated = definitions(&Topology::payrelay(&RetryDelays::default()), "/");
    if std::env::var_os("PAYRELAY_TEST_WRITE_GENERATED").is_some() {
        std::fs::write(path, format!("{}\n", serde_json::to_string_pretty(&generated).unwrap())).unwrap();
    }
    let deployed: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(deployed, generated, "run `cargo xtask generate`");
}

#[tokio::test]
async fn what_the_broker_holds_fits_the_definitions() {
    let vhost = tokio::task::spawn_blocking(Vhost::create).await.unwrap();
    let topology = Topology::payrelay(&RetryDelays::default());
    let broker = Broker::new(vhost.amqp_url(), "test").unwrap();
    broker.declare(&topology).await.unwrap();
    let connection = broker.connect().await.unwrap();
    let passive = lapin::options::QueueDeclareOptions { passive: true, ..Default::default() };
    for queue in definitions(&topology, "/")["queues"].as_array().unwrap() {
        let channel = connection.create_channel().await.unwrap();
        let name = queue["name"].as_str().unwrap();
        channel.queue_declare(name.into(), passive, lapin::types::FieldTable::default()).await.unwrap();
    }
}
