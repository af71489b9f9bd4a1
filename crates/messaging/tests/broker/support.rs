//! What the tests share: a topology on a fresh vhost, a handler that does as it is told, and polling with a deadline.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use devstack::testing::Vhost;
use lapin::BasicProperties;
use lapin::options::{BasicAckOptions, BasicGetOptions};
use lapin::types::AMQPValue;
use messaging::{
    Broker, Consumer, ConsumerQueue, Delivery, EXCHANGE, Handler, HandlerError, Message, ParkedDelivery,
    PublishOutcome, Publisher, RetryDelays, Topology, Verdict,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// No wait of a test is longer.
pub(crate) const DEADLINE: Duration = devstack::testing::DEADLINE;

/// A vhost with one consumer's queue on it.
pub(crate) struct Fixture {
    pub(crate) broker: Broker,
    pub(crate) queue: ConsumerQueue,
    pub(crate) retry: RetryDelays,
    pub(crate) publisher: Publisher,
    /// Deleted with the fixture.
    pub(crate) vhost: Vhost,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let vhost = tokio::task::spawn_blocking(Vhost::create).await.unwrap();
        let broker = Broker::new(vhost.amqp_url(), "test").unwrap();
        let retry: RetryDelays = "200ms,300ms".parse().unwrap();
        let queue = ConsumerQueue::new("trade", "pay.success");
        broker.declare(&Topology { queues: vec![queue.clone()], retry: retry.clone() }).await.unwrap();
        let publisher = Publisher::spawn(broker.clone(), CancellationToken::new());
        // It declares the exchange when it connects, which must not happen in the midst of a test that changes the exchange.
        ready(&publisher).await;
        Self { broker, queue, retry, publisher, vhost }
    }

    /// Publishes bodies to the consumer's queue, each named by its body.
    pub(crate) async fn publish(&self, bodies: &[String]) {
        let messages = bodies.iter().map(|body| message(EXCHANGE, "pay.success", body)).collect();
        let outcomes = self.publisher.publish(messages).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == PublishOutcome::Confirmed), "{outcomes:?}");
    }

    pub(crate) fn consumer(&self) -> Consumer {
        Consumer::new(self.broker.clone(), self.queue.clone(), self.retry.clone())
    }

    /// Takes one message out of a queue, by its id.
    pub(crate) async fn take(&self, queue: &str) -> Option<lapin::message::BasicGetMessage> {
        let connection = self.broker.connect().await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let message = channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap();
        if let Some(message) = &message {
            message.acker.ack(BasicAckOptions::default()).await.unwrap();
        }
        messaging::close(&connection).await;
        message
    }

    /// Waits for a message in a queue and takes it.
    pub(crate) async fn take_soon(&self, queue: &str) -> lapin::message::BasicGetMessage {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(message) = self.take(queue).await {
                return message;
            }
            assert!(Instant::now() < deadline, "nothing came into {queue}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

pub(crate) fn message(exchange: &str, routing_key: &str, body: &str) -> Message {
    Message {
        exchange: exchange.to_owned(),
        routing_key: routing_key.to_owned(),
        message_id: body.to_owned(),
        kind: "pay.success".to_owned(),
        content_type: "text/plain".to_owned(),
        timestamp: None,
        headers: BTreeMap::from([("traceparent".to_owned(), "00-1-2-01".to_owned())]),
        body: body.to_owned().into(),
    }
}

/// Does with a message what its body says: `poison…` is dead-lettered, `later…` retried, `reject…` rejected with its whole
/// batch, at `panic…` it panics; anything else is done.
#[derive(Clone, Default)]
pub(crate) struct Obedient(Arc<State>);

#[derive(Default)]
pub(crate) struct State {
    /// The bodies of committed messages, in their order, with the number of attempts before.
    pub(crate) done: Mutex<Vec<(String, u32)>>,
    /// Body, reason and detail of what was parked.
    pub(crate) parked: Mutex<Vec<(String, String, String)>>,
    /// Nothing is handled while it is held for writing.
    pub(crate) gate: tokio::sync::RwLock<()>,
    /// Batches that wait for it.
    pub(crate) waiting: AtomicUsize,
    /// While set, everything is away.
    pub(crate) outage: AtomicBool,
    /// How often it was given a batch, or asked whether it is ready.
    pub(crate) asked: AtomicUsize,
    pub(crate) batches: AtomicUsize,
    pub(crate) largest_batch: AtomicUsize,
    /// The highest count of earlier deliveries that a message had.
    pub(crate) most_redeliveries: AtomicU64,
}

impl std::ops::Deref for Obedient {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl Obedient {
    pub(crate) fn done_count(&self) -> usize {
        self.done.lock().unwrap().len()
    }

    pub(crate) fn parked_count(&self) -> usize {
        self.parked.lock().unwrap().len()
    }

    /// The bodies done, sorted.
    pub(crate) fn sorted(&self) -> Vec<String> {
        let mut bodies: Vec<_> = self.done.lock().unwrap().iter().map(|(body, _)| body.clone()).collect();
        bodies.sort();
        bodies
    }
}

impl Handler for Obedient {
    async fn handle(&self, batch: &[Delivery]) -> Result<Vec<Verdict>, HandlerError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let open = self.gate.read().await;
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        drop(open);
        if self.outage.load(Ordering::SeqCst) {
            return Err(HandlerError::Outage("told so".to_owned()));
        }
        self.batches.fetch_add(1, Ordering::SeqCst);
        self.largest_batch.fetch_max(batch.len(), Ordering::SeqCst);
        let redeliveries = batch.iter().map(|delivery| delivery.redeliveries).max().unwrap();
        self.most_redeliveries.fetch_max(redeliveries, Ordering::SeqCst);
        let body = |delivery: &Delivery| String::from_utf8(delivery.body.to_vec()).unwrap();
        if batch.iter().any(|delivery| body(delivery).starts_with("reject")) {
            return Err(HandlerError::Rejected("told so".to_owned()));
        }
        assert!(!batch.iter().any(|delivery| body(delivery).starts_with("panic")), "told so");
        let verdicts = batch.iter().map(|delivery| {
            let (reason, detail) = ("told".to_owned(), format!("attempt {}", delivery.attempts));
            match body(delivery) {
                text if text.starts_with("poison") => Verdict::DeadLetter { reason, detail },
                text if text.starts_with("later") => Verdict::Retry { reason, detail },
                text => {
                    self.done.lock().unwrap().push((text, delivery.attempts));
                    Verdict::Done
                }
            }
        });
        Ok(verdicts.collect())
    }

    async fn park(&self, parked: &ParkedDelivery<'_>) -> Result<(), HandlerError> {
        let body = String::from_utf8(parked.delivery.body.to_vec()).unwrap();
        self.parked.lock().unwrap().push((body, parked.reason.to_owned(), parked.detail.to_owned()));
        Ok(())
    }

    async fn ready(&self) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst);
        !self.outage.load(Ordering::SeqCst)
    }
}

/// A consumer in the background.
pub(crate) struct Running {
    pub(crate) cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(consumer: Consumer, handler: impl Handler) -> Self {
        let cancel = CancellationToken::new();
        let task = tokio::spawn(consumer.run(handler, cancel.clone()));
        Self { cancel, task }
    }

    /// Drains it.
    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        tokio::time::timeout(DEADLINE, self.task).await.expect("the consumer drains in time").unwrap();
    }
}

/// A header's value, text or number.
pub(crate) fn header_text(properties: &BasicProperties, name: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::LongLongInt(number) => Some(number.to_string()),
        other => panic!("{name}: {other:?}"),
    }
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until a publisher is connected: a publish waits for that for a few seconds only, and a busy machine may take longer.
pub(crate) async fn ready(publisher: &Publisher) {
    until("the publisher is connected", || publisher.is_ready()).await;
}

/// Waits until a publisher that is refused says why.
pub(crate) async fn refused(publisher: &Publisher) {
    until("the publisher is refused", || publisher.problem().is_some()).await;
}

pub(crate) fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number:04}")).collect()
}
