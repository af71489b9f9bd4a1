//! Brokers that block, die and come back. Each test has one of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use devstack::{Stack, StackOptions};
use messaging::{
    Broker, Consumer, ConsumerQueue, EXCHANGE, PublishError, PublishOutcome, Publisher, RetryDelays, Topology,
};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::support::{DEADLINE, Obedient, Running, message, names, ready, until};

struct Own {
    stack: Arc<Stack>,
    broker: Broker,
    queue: ConsumerQueue,
    retry: RetryDelays,
}

impl Own {
    async fn new() -> Self {
        let own = Self::empty().await;
        let topology = Topology { queues: vec![own.queue.clone()], retry: own.retry.clone() };
        own.broker.declare(&topology).await.unwrap();
        own
    }

    async fn empty() -> Self {
        let options = StackOptions { postgres: false, rabbitmq: true, durable: false };
        let stack = Arc::new(spawn_blocking(move || Stack::start(&options)).await.unwrap().unwrap());
        let broker = Broker::new(&stack.rabbitmq().amqp_url(), "test").unwrap();
        let (queue, retry) = (ConsumerQueue::new("trade", "pay.success"), RetryDelays::default());
        Self { stack, broker, queue, retry }
    }

    fn consumer(&self) -> Consumer {
        Consumer::new(self.broker.clone(), self.queue.clone(), self.retry.clone())
    }

    async fn raise_alarm(&self) {
        self.with_server(|stack| stack.rabbitmq().ctl(&["set_vm_memory_high_watermark", "0"]).unwrap()).await;
    }

    async fn clear_alarm(&self) {
        let watermark = ["set_vm_memory_high_watermark", "absolute", "1GB"];
        self.with_server(move |stack| stack.rabbitmq().ctl(&watermark).unwrap()).await;
    }

    async fn with_server<T: Send + 'static>(&self, act: impl FnOnce(&Stack) -> T + Send + 'static) -> T {
        let stack = Arc::clone(&self.stack);
        spawn_blocking(move || act(&stack)).await.unwrap()
    }
}

/// Publishes until it works, as the relay does, and says how often it did not.
async fn publish_until_confirmed(publisher: &Publisher, bodies: &[String]) -> usize {
    let deadline = Instant::now() + DEADLINE;
    for failures in 0.. {
        let messages = bodies.iter().map(|body| message(EXCHANGE, "pay.success", body)).collect();
        match publisher.publish(messages).await {
            Ok(outcomes) if outcomes.iter().all(|outcome| *outcome == PublishOutcome::Confirmed) => {
                return failures;
            }
            other => assert!(Instant::now() < deadline, "never confirmed: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    unreachable!()
}

#[tokio::test]
async fn a_blocked_broker_is_an_error_in_bounded_time_and_consumers_go_on() {
    let own = Own::new().await;
    let publisher = Publisher::spawn(own.broker.clone(), CancellationToken::new());
    publish_until_confirmed(&publisher, &names("before", 500)).await;
    own.raise_alarm().await;

    let deadline = Instant::now() + DEADLINE;
    loop {
        let started = Instant::now();
        match publisher.publish(vec![message(EXCHANGE, "pay.success", "blocked")]).await {
            Err(PublishError::Blocked(_)) => break,
            // The alarm takes a moment to be raised.
            Ok(_) | Err(_) => assert!(Instant::now() < deadline, "never blocked"),
        }
        assert!(started.elapsed() < Duration::from_secs(30), "an answer comes in bounded time");
    }
    let handler = Obedient::default();
    let running = Running::start(own.consumer(), handler.clone());
    until("the consumer drains a blocked broker", || handler.done_count() >= 500).await;

    own.clear_alarm().await;
    publish_until_confirmed(&publisher, &["after".to_owned()]).await;
    until("what was published after is done", || handler.sorted().contains(&"after".to_owned())).await;
    running.stop().await;
}

#[tokio::test]
async fn copies_that_a_blocked_broker_does_not_take_wait_and_use_up_no_deliveries() {
    let own = Own::new().await;
    let publisher = Publisher::spawn(own.broker.clone(), CancellationToken::new());
    let mut bodies = names("good", 20);
    bodies.insert(0, "poison".to_owned());
    publish_until_confirmed(&publisher, &bodies).await;
    own.raise_alarm().await;
    let handler = Obedient::default();
    let running = Running::start(own.consumer(), handler.clone());
    // Each try asks whether the handler is ready, takes the messages, and gives them back.
    until("many tries", || handler.asked.load(Ordering::SeqCst) >= 10).await;
    own.clear_alarm().await;
    until("the good ones are done", || handler.sorted() == names("good", 20)).await;
    publish_until_confirmed(&publisher, &["after".to_owned()]).await;
    running.stop().await;
    let redeliveries = handler.most_redeliveries.load(Ordering::SeqCst);
    assert!(redeliveries <= 3, "{redeliveries} of the 20 deliveries that the broker allows");
    assert_eq!(handler.parked.lock().unwrap()[0].1, "told");
}

/// Where it acknowledges too late, a consumer loses its channel, and of RabbitMQ 4.3 on its subscription alone.
#[tokio::test]
async fn a_consumer_that_the_broker_has_given_up_comes_back() {
    let own = Own::empty().await;
    let limits = "application:set_env(rabbit, consumer_timeout, 1000), \
                  application:set_env(rabbit, channel_tick_interval, 200).";
    own.with_server(move |stack| stack.rabbitmq().ctl(&["eval", limits]).unwrap()).await;
    own.broker
        .declare(&Topology { queues: vec![own.queue.clone()], retry: own.retry.clone() })
        .await
        .unwrap();
    let publisher = Publisher::spawn(own.broker.clone(), CancellationToken::new());
    let handler = Obedient::default();
    let running = Running::start(own.consumer(), handler.clone());
    publish_until_confirmed(&publisher, &["first".to_owned()]).await;
    until("the consumer takes many at once", || handler.done_count() == 1).await;
    let held = handler.gate.write().await;
    publish_until_confirmed(&publisher, &names("slow", 20)).await;
    let deadline = Instant::now() + DEADLINE;
    let ready = |stack: &Stack| stack.rabbitmq().ctl(&["--silent", "list_queues", "messages_ready"]).unwrap();
    until("a batch is in hand", || handler.waiting.load(Ordering::SeqCst) == 1).await;
    while !own.with_server(ready).await.lines().any(|line| line == "20") {
        assert!(Instant::now() < deadline, "the broker has not taken the messages back");
    }
    drop(held);
    // What was in hand too long is done, and comes again.
    let all_done = || names("slow", 20).iter().all(|name| handler.sorted().contains(name));
    until("the slow ones are done", || all_done() && handler.done_count() > 1 + 20).await;
    publish_until_confirmed(&publisher, &["after".to_owned()]).await;
    until("what was published after is done", || handler.sorted().contains(&"after".to_owned())).await;
    running.stop().await;
}

/// The file as it is deployed: a broker takes it, and finds every queue as the services declare it, or would refuse them.
#[tokio::test]
async fn the_deployed_definitions_are_what_services_declare() {
    let own = Own::empty().await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/rabbitmq/definitions.json");
    own.with_server(move |stack| {
        // The broker may be another system's, which sees of this one the stack's folder.
        let copy = stack.directory().join("definitions.json");
        std::fs::copy(file, &copy).unwrap();
        stack.rabbitmq().ctl(&["import_definitions", copy.to_str().unwrap()]).unwrap();
    })
    .await;
    own.broker.declare(&Topology::payrelay(&own.retry)).await.unwrap();
    let publisher = Publisher::spawn(own.broker.clone(), CancellationToken::new());
    ready(&publisher).await;
    for key in ["pay.success", "pay.failed", "pay.closed", "pay.refunded"] {
        let outcomes = publisher.publish(vec![message(EXCHANGE, key, key)]).await.unwrap();
        assert_eq!(outcomes, [PublishOutcome::Confirmed], "{key}");
    }
    another_vhost(&own).await;
}

/// The definitions for a vhost of one's own are taken as well, and a URL that names it leads there.
async fn another_vhost(own: &Own) {
    let topology = Topology::payrelay(&own.retry);
    let file = std::env::temp_dir().join(format!("definitions-{}.json", std::process::id()));
    std::fs::write(&file, messaging::definitions(&topology, "pay/eu").to_string()).unwrap();
    own.with_server(move |stack| {
        stack.rabbitmq().ctl(&["import_definitions", &file.display().to_string()]).unwrap();
        std::fs::remove_file(file).unwrap();
        stack.rabbitmq().ctl(&["set_permissions", "-p", "pay/eu", "guest", ".*", ".*", ".*"]).unwrap();
    })
    .await;
    let url = own.stack.rabbitmq().amqp_url().replace("/%2f", "/pay%2Feu");
    let broker = Broker::new(&url, "test").unwrap();
    assert_eq!(broker.inspect(&topology).await.unwrap(), []);
    let publisher = Publisher::spawn(broker, CancellationToken::new());
    ready(&publisher).await;
    let outcomes = publisher.publish(vec![message(EXCHANGE, "pay.success", "there")]).await.unwrap();
    assert_eq!(outcomes, [PublishOutcome::Confirmed]);
}

#[tokio::test]
async fn a_killed_broker_is_an_error_and_everything_goes_on_when_it_is_back() {
    let own = Own::new().await;
    let publisher = Publisher::spawn(own.broker.clone(), CancellationToken::new());
    let handler = Obedient::default();
    let running = Running::start(own.consumer(), handler.clone());
    publish_until_confirmed(&publisher, &names("before", 100)).await;
    own.with_server(|stack| stack.rabbitmq().kill().unwrap()).await;

    let started = Instant::now();
    let refused = publisher.publish(vec![message(EXCHANGE, "pay.success", "refused")]).await;
    assert!(refused.is_err());
    assert!(started.elapsed() < Duration::from_secs(30), "an answer comes in bounded time");

    own.with_server(|stack| stack.rabbitmq().start().unwrap()).await;
    publish_until_confirmed(&publisher, &names("after", 100)).await;
    let wanted = || {
        let done = handler.sorted();
        names("before", 100).iter().chain(&names("after", 100)).all(|name| done.contains(name))
    };
    until("all confirmed messages are done", wanted).await;
    running.stop().await;
}
