//! What is said of a user who may not do what is asked.

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use messaging::{
    Broker, Consumer, ConsumerQueue, DeadLetters, EXCHANGE, Error, PublishError, Publisher, Topology,
};
use tokio_util::sync::CancellationToken;

use crate::support::{Fixture, Obedient, Running, message, ready, refused, until};

const ALL: &str = ".*";
const NOTHING: &str = "^$";

/// The broker of a user with the rights to configure, write and read what these patterns say.
fn narrowed(fixture: &Fixture, rights: [&str; 3]) -> Broker {
    Broker::new(&fixture.vhost.narrowed(rights), "test").unwrap()
}

fn says(error: &str, expected: &[&str]) {
    for part in expected.iter().chain(&["rabbitmqctl"]) {
        assert!(error.contains(part), "{part:?} in {error}");
    }
    assert!(!error.contains("narrow"), "the password in {error}");
}

fn topology(fixture: &Fixture) -> Topology {
    Topology { queues: vec![fixture.queue.clone()], retry: fixture.retry.clone() }
}

#[tokio::test]
async fn a_user_who_is_not_let_in_is_told_why() {
    let fixture = Fixture::new().await;
    let url = fixture.vhost.amqp_url();
    let (_, host) = url.rsplit_once('@').unwrap();
    let stranger = Broker::new(&format!("amqp://stranger:narrow@{host}"), "test").unwrap();
    let refused = stranger.ping().await.unwrap_err();
    assert_eq!(refused.reply_code(), Some(403));
    says(&refused.to_string(), &["Login was refused", "'stranger'", "password"]);

    let elsewhere = Broker::new(&format!("{}/%2f", narrowed_url(&fixture)), "test").unwrap();
    let refused = elsewhere.ping().await.unwrap_err();
    assert!(matches!(refused, Error::Denied { code: 530, .. }), "{refused}");
    says(&refused.to_string(), &["access to vhost '/' refused", "set_permissions -p '/'"]);

    let nowhere = Broker::new(&format!("{}/nowhere", narrowed_url(&fixture)), "test").unwrap();
    says(&nowhere.ping().await.unwrap_err().to_string(), &["vhost nowhere not found", "add_vhost"]);
}

/// Without its vhost.
fn narrowed_url(fixture: &Fixture) -> String {
    let url = fixture.vhost.narrowed([NOTHING; 3]);
    url.rsplit_once('/').unwrap().0.to_owned()
}

#[tokio::test]
async fn whoever_declares_is_told_which_right_on_what_it_lacks() {
    let fixture = Fixture::new().await;
    let queue = fixture.queue.queue.clone();
    let exchange = r"^pay\.";
    for (rights, right, what) in [
        ([NOTHING, ALL, ALL], "configure", "exchange 'pay.direct'"),
        ([exchange, ALL, ALL], "configure", "queue 'trade.pay.success.queue.dlq'"),
        ([ALL, NOTHING, ALL], "write", "queue 'pay.retry.200ms'"),
        ([ALL, ALL, NOTHING], "read", "'pay.retry.200ms'"),
    ] {
        let refused = narrowed(&fixture, rights).declare(&topology(&fixture)).await.unwrap_err();
        assert!(matches!(refused, Error::Denied { code: 403, .. }), "{refused}");
        says(&refused.to_string(), &["lacks the right to", right, what, "set_permissions -p 'test-"]);
    }
    // Who finds a queue missing asks for the turn first.
    let new = ConsumerQueue::new("risk", "pay.success");
    let missing = Topology { queues: vec![new], retry: fixture.retry.clone() };
    let refused = narrowed(&fixture, [r"^(pay|risk)\.", ALL, ALL]).declare(&missing).await.unwrap_err();
    says(&refused.to_string(), &["configure", "queue 'payrelay.declaring'"]);
    assert!(narrowed(&fixture, [ALL; 3]).declare(&topology(&fixture)).await.is_ok(), "{queue}");
}

#[tokio::test]
async fn a_queue_that_is_other_than_declared_is_named_with_its_argument() {
    let fixture = Fixture::new().await;
    let connection = fixture.broker.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare("risk.pay.success.queue".into(), durable, FieldTable::default()).await.unwrap();
    // One queue is missing and one is spoiled: they are made in turn, and the refusal comes in the midst of it.
    let queues = vec![ConsumerQueue::new("risk", "pay.success")];
    let spoiled = Topology { queues, retry: fixture.retry.clone() };
    let refused = fixture.broker.declare(&spoiled).await.unwrap_err();
    assert!(matches!(refused, Error::Spoiled(_)), "{refused}");
    for part in ["PRECONDITION_FAILED", "inequivalent arg 'x-", "risk.pay.success.queue"] {
        assert!(refused.to_string().contains(part), "{part} in {refused}");
    }
}

#[tokio::test]
async fn a_publisher_says_what_it_may_not_and_goes_on_when_it_may() {
    let fixture = Fixture::new().await;
    let spawn = |rights| Publisher::spawn(narrowed(&fixture, rights), CancellationToken::new());
    let publish = async |publisher: &Publisher| {
        publisher.publish(vec![message(EXCHANGE, "pay.success", "1")]).await.unwrap_err()
    };
    let publisher = spawn([NOTHING, ALL, ALL]);
    refused(&publisher).await;
    let told = publish(&publisher).await;
    assert!(matches!(told, PublishError::Disconnected(Some(_))), "{told}");
    says(&told.to_string(), &["configure exchange 'pay.direct'"]);
    says(&publisher.problem().unwrap(), &["configure exchange 'pay.direct'"]);

    let publisher = spawn([ALL, NOTHING, ALL]);
    ready(&publisher).await;
    let told = publish(&publisher).await;
    assert!(matches!(told, PublishError::Broken(Error::Denied { .. })), "{told}");
    says(&told.to_string(), &["write exchange 'pay.direct'"]);
    ready(&publisher).await;
    says(&publisher.problem().unwrap(), &["write exchange 'pay.direct'"]);
    publisher.close().await;

    fixture.publish(&["sound".to_owned()]).await;
    assert_eq!(fixture.publisher.problem(), None);
}

#[tokio::test]
async fn a_consumer_and_a_look_at_dead_letters_say_what_they_may_not() {
    let fixture = Fixture::new().await;
    let dead = message("", &fixture.queue.dead_letter_queue(), "dead");
    fixture.publisher.publish(vec![dead]).await.unwrap();
    let unread = narrowed(&fixture, [ALL, ALL, r"^pay\."]);
    let refused = DeadLetters::look(&unread, &fixture.queue).await.unwrap_err();
    says(&refused.to_string(), &["read queue 'trade.pay.success.queue.dlq'"]);

    let consumer = Consumer::new(unread, fixture.queue.clone(), fixture.retry.clone());
    let status = consumer.status();
    let running = Running::start(consumer, Obedient::default());
    until("the consumer is refused", || status.problem().is_some()).await;
    assert!(!status.is_subscribed());
    let told = messaging::all_subscribed(&[status]).unwrap_err();
    says(&told, &["not every queue is consumed", "read queue 'trade.pay.success.queue'"]);
    running.stop().await;
}
