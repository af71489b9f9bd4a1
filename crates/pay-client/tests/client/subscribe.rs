use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use pay_client::{
    CancellationToken, ConfigError, EventType, Handler, HandlerError, Publisher, Received, RetryDelays,
    Subscriber, Verdict,
};
use tokio::task::JoinHandle;

use crate::support::{Fixture, connected, event, header, until};

/// Does with an event what its order is called: `poison…` is dead-lettered, `later…` retried, all else done.
#[derive(Clone, Default)]
struct Obedient(Arc<State>);

#[derive(Default)]
struct State {
    done: Mutex<Vec<Received>>,
    outage: AtomicBool,
    /// Batches that came during an outage.
    turned_down: AtomicUsize,
}

impl Handler for Obedient {
    async fn handle(&self, batch: &[Received]) -> Result<Vec<Verdict>, HandlerError> {
        if self.0.outage.load(Ordering::SeqCst) {
            self.0.turned_down.fetch_add(1, Ordering::SeqCst);
            return Err(HandlerError::Outage("told so".to_owned()));
        }
        let verdicts = batch.iter().map(|received| {
            let (order_no, detail) = (received.event.order.order_no.as_str(), "told so".to_owned());
            if order_no.starts_with("poison") {
                Verdict::DeadLetter { reason: "poison".to_owned(), detail }
            } else if order_no.starts_with("later") && received.attempts == 0 || order_no == "never" {
                Verdict::Retry { reason: "too_early".to_owned(), detail }
            } else {
                self.0.done.lock().unwrap().push(received.clone());
                Verdict::Done
            }
        });
        Ok(verdicts.collect())
    }

    async fn ready(&self) -> bool {
        !self.0.outage.load(Ordering::SeqCst)
    }
}

impl Obedient {
    async fn done(&self, count: usize) -> Vec<Received> {
        until(&format!("{count} events"), async || {
            let done = self.0.done.lock().unwrap();
            assert!(done.len() <= count, "{done:?}");
            (done.len() == count).then(|| done.clone())
        })
        .await
    }
}

fn retry() -> RetryDelays {
    "200ms,300ms".parse().unwrap()
}

/// A subscriber to successes and refunds in the background, subscribed.
struct Running {
    fixture: Fixture,
    publisher: Publisher,
    handler: Obedient,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// As a user who has no other rights than the README asks for.
    async fn start() -> Self {
        let (fixture, handler, stop) = (Fixture::new().await, Obedient::default(), CancellationToken::new());
        let types = [EventType::Success, EventType::Refunded];
        let url = fixture.vhost.narrowed([r"^(pay\.|risk\.|payrelay\.declaring$|amq\.default$)"; 3]);
        let subscriber = Subscriber::new(&url, "risk", &types, &retry()).unwrap();
        let subscriptions = subscriber.subscriptions();
        assert!(!subscriptions.are_there());
        let task = tokio::spawn(subscriber.run(handler.clone(), stop.clone()));
        until("subscriptions", async || subscriptions.are_there().then_some(())).await;
        let publisher = connected(Publisher::new(fixture.vhost.amqp_url(), "billing").unwrap()).await;
        Self { fixture, publisher, handler, stop, task }
    }

    async fn publish(&self, event_type: EventType, order_no: &str) {
        assert_eq!(self.publisher.publish(&event(event_type, order_no)).await, Ok(()));
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(std::time::Duration::from_secs(60), self.task)
            .await
            .expect("it drains in time")
            .unwrap();
    }
}

#[tokio::test]
async fn events_come_decoded_with_their_key() {
    let running = Running::start().await;
    running.publish(EventType::Success, "10001").await;
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let refund = event(EventType::Refunded, "10001");
    assert_eq!(running.publisher.traced(traceparent).publish(&refund).await, Ok(()));
    let mut done = running.handler.done(2).await;
    done.sort_by(|one, other| one.key.cmp(&other.key));
    let keys: Vec<_> = done.iter().map(|received| received.key.as_str()).collect();
    assert_eq!(keys, ["m1/10001/UP-10001/pay.refunded/500", "m1/10001/UP-10001/pay.success/0"]);
    let refunded = &done[0];
    assert_eq!(refunded.event.event_id, refund.event_id);
    assert_eq!(refunded.event.order.amount, refund.order.amount);
    assert_eq!(refunded.source.as_deref(), Some("/billing"));
    assert_eq!(refunded.traceparent.as_deref(), Some(traceparent));
    running.stop().await;
}

#[tokio::test]
async fn poison_is_dead_lettered_and_bare_numbers_are_skipped() {
    let running = Running::start().await;
    let fixture = &running.fixture;
    fixture.send("pay.success", "text/plain", b"10001").await;
    fixture.send("pay.success", "application/protobuf", b"\xff\xff").await;
    running.publish(EventType::Success, "poison-1").await;
    running.publish(EventType::Success, "1").await;
    let mut reasons = Vec::new();
    for _ in 0..2 {
        let dead = fixture.take("risk.pay.success.queue.dlq").await;
        assert_eq!(header(&dead, "x-payrelay-consumer"), "risk");
        reasons.push(header(&dead, "x-payrelay-reason"));
    }
    reasons.sort();
    assert_eq!(reasons, ["poison", "undecodable"]);
    assert_eq!(running.handler.done(1).await[0].event.order.order_no.as_str(), "1");
    running.stop().await;
}

#[tokio::test]
async fn a_retry_comes_back_and_ends_in_the_dead_letter_queue() {
    let running = Running::start().await;
    running.publish(EventType::Refunded, "later-1").await;
    assert_eq!(running.handler.done(1).await[0].attempts, 1);
    running.publish(EventType::Refunded, "never").await;
    let dead = running.fixture.take("risk.pay.refunded.queue.dlq").await;
    assert_eq!(header(&dead, "x-payrelay-reason"), "attempts_exhausted");
    assert!(header(&dead, "x-payrelay-detail").contains("too_early"));
    running.stop().await;
}

#[tokio::test]
async fn an_outage_of_the_handler_counts_for_nothing() {
    let running = Running::start().await;
    let state = &running.handler.0;
    state.outage.store(true, Ordering::SeqCst);
    running.publish(EventType::Success, "1").await;
    until("an outage that was seen", async || (state.turned_down.load(Ordering::SeqCst) > 0).then_some(()))
        .await;
    state.outage.store(false, Ordering::SeqCst);
    assert_eq!(running.handler.done(1).await[0].attempts, 0);
    running.stop().await;
}

#[tokio::test]
async fn replicas_share_the_queues_and_what_comes_while_all_are_away_waits() {
    let running = Running::start().await;
    let events: Vec<_> = (0..50).map(|order| event(EventType::Success, &order.to_string())).collect();
    let publish = async || {
        let published = running.publisher.publish_all(&events).await;
        assert!(published.iter().all(Result::is_ok), "{published:?}");
    };
    let (stop, url) = (CancellationToken::new(), running.fixture.vhost.amqp_url());
    let replica = Subscriber::new(url, "risk", &[EventType::Success], &retry()).unwrap().with_batch(2);
    let task = tokio::spawn(replica.clone().run(running.handler.clone(), stop.clone()));
    publish().await;
    running.handler.done(50).await;
    stop.cancel();
    running.stop.cancel();
    task.await.unwrap();
    until("an end", async || running.task.is_finished().then_some(())).await;
    publish().await;
    let (stop, handler) = (CancellationToken::new(), Obedient::default());
    let task = tokio::spawn(replica.run(handler.clone(), stop.clone()));
    handler.done(50).await;
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn types_are_given_once_each() {
    let subscribe =
        |types: &[EventType]| Subscriber::new("amqp://mq", "risk", types, &RetryDelays::default());
    for types in [&[][..], &[EventType::Success, EventType::Success]] {
        assert!(matches!(subscribe(types), Err(ConfigError::EventTypes(_))), "{types:?}");
    }
    assert!(subscribe(&EventType::ALL).is_ok());
}
