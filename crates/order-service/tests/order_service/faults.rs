//! Outages, crashes and replicas.

use std::sync::Arc;
use std::time::Duration;

use devstack::{Stack, StackOptions, testing};
use events::PayEvent;
use messaging::{Broker, Consumer, ConsumerQueue, Delivery, Handler, HandlerError, ParkedDelivery, Verdict};
use order_service::Service;
use order_service::consume::PayEvents;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use storage::Database;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::fixtures::success;
use crate::running::{Fixture, RETRY_DELAYS, Replica, config, eventually, message, publish, publisher};

const SUCCESS_QUEUE: &str = "trade.pay.success.queue";
/// Longer than all retry delays of the tests together, 900 ms.
const OUTAGE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_database_longer_than_all_retry_delays_parks_nothing() {
    let stack = Stack::start(&StackOptions { postgres: true, rabbitmq: false, durable: false }).unwrap();
    let vhost = testing::Vhost::create();
    let replica = Replica::start(&stack.postgres().database_url(), vhost.amqp_url()).await;
    let publisher = publisher(vhost.amqp_url()).await;
    let order_nos: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    for order_no in &order_nos {
        replica.create(order_no).await;
    }

    stack.postgres().stop().unwrap();
    publish(&publisher, order_nos.iter().map(|order_no| message(&success(order_no))).collect()).await;
    eventually("the service not to be ready", || async {
        let ready = replica.admin(Method::GET, "/readyz").await.status();
        (ready == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    // The outage has a length; no state is waited for.
    tokio::time::sleep(OUTAGE).await;
    stack.postgres().start().unwrap();

    for order_no in &order_nos {
        replica.order_with_status(order_no, "PAID").await;
    }
    replica.audited_once("applied", 20).await;
    assert_eq!(replica.parked().await, Vec::<Value>::new());
    assert_eq!(vhost.queue_depth(&format!("{SUCCESS_QUEUE}.dlq")).unwrap_or_default(), 0);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_broker_requests_are_served_and_the_service_stays_ready() {
    let stack = Stack::start(&StackOptions { postgres: false, rabbitmq: true, durable: false }).unwrap();
    let database = testing::Database::create();
    let replica = Replica::start(database.url(), &stack.rabbitmq().amqp_url()).await;
    replica.create("1").await;

    stack.rabbitmq().stop().unwrap();
    let degraded = async |replica: &Replica| {
        let (status, rabbitmq) = replica.readiness().await;
        assert_eq!(status, StatusCode::OK, "{rabbitmq}");
        rabbitmq.starts_with("degraded: not every queue is consumed")
    };
    eventually("the outage to show", || async { degraded(&replica).await.then_some(()) }).await;
    replica.create("2").await;
    // One that starts meanwhile is ready, too.
    let service = Service::start(config(database.url(), &stack.rabbitmq().amqp_url())).await.unwrap();
    let second = Replica::run(service);
    assert!(degraded(&second).await);
    assert_eq!(second.order("1").await["status"], "AWAITING_PAYMENT");
    second.stop().await;

    stack.rabbitmq().start().unwrap();
    eventually("the outage to be over", || async { (!degraded(&replica).await).then_some(()) }).await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_share_the_queue_and_apply_each_event_once() {
    const ORDERS: usize = 200;
    let fixture = Fixture::start().await;
    let second = Replica::start(fixture.database.url(), fixture.vhost.amqp_url()).await;
    let events: Vec<_> = (0..ORDERS).map(|number| success(&number.to_string())).collect();
    for event in &events {
        fixture.replica.create(event.order.order_no.as_str()).await;
    }
    // Everything twice, as a relay that crashed before it deleted from the outbox does.
    fixture.publish(events.iter().chain(&events).map(message).collect()).await;
    second.audited_once("applied", ORDERS as u64).await;
    eventually("the queue to be empty", || async {
        (fixture.vhost.queue_depth(SUCCESS_QUEUE) == Some(0)).then_some(())
    })
    .await;
    assert_eq!((second.audited("duplicate").await, second.audited("parked").await), (0, 0));
    for event in &events {
        let paid = second.order(event.order.order_no.as_str()).await;
        assert_eq!((&paid["status"], &paid["version"]), (&json!("PAID"), &json!(2)));
    }
    second.stop().await;
    fixture.replica.stop().await;
}

#[tokio::test]
async fn a_row_that_the_database_rejects_fails_alone() {
    let fixture = Fixture::with_orders(&["1", "2", "3"]).await;
    let database = Database::connect(fixture.database.url(), "test", 1).unwrap();
    let client = database.client().await.unwrap();
    let poison = "ALTER TABLE orders.orders ADD CHECK (order_no <> '2' OR status = 'AWAITING_PAYMENT')";
    client.batch_execute(poison).await.unwrap();

    fixture.publish(["1", "2", "3"].map(|order_no| message(&success(order_no))).to_vec()).await;
    fixture.replica.order_with_status("1", "PAID").await;
    fixture.replica.order_with_status("3", "PAID").await;
    let parked = fixture.replica.parked_once(1).await;
    assert_eq!((&parked[0]["reason"], &parked[0]["order_no"]), (&json!("attempts_exhausted"), &json!("2")));
    assert_eq!(fixture.replica.order("2").await["status"], "AWAITING_PAYMENT");
    assert_eq!(fixture.replica.audited("applied").await, 2);
}

/// Commits, and never comes to the acknowledgement.
struct DiesAfterCommit {
    handler: PayEvents,
    committed: Arc<Notify>,
}

impl Handler for DiesAfterCommit {
    async fn handle(&self, batch: &[Delivery]) -> Result<Vec<Verdict>, HandlerError> {
        self.handler.handle(batch).await?;
        self.committed.notify_one();
        std::future::pending().await
    }

    async fn park(&self, parked: &ParkedDelivery<'_>) -> Result<(), HandlerError> {
        self.handler.park(parked).await
    }

    async fn ready(&self) -> bool {
        self.handler.ready().await
    }
}

#[tokio::test]
async fn a_crash_between_commit_and_acknowledgement_is_absorbed() {
    let Fixture { replica, publisher, database, vhost } = Fixture::with_orders(&["1"]).await;
    replica.stop().await;
    let event: PayEvent = success("1");
    publish(&publisher, vec![message(&event)]).await;

    let committed = Arc::new(Notify::new());
    let store = Database::connect(database.url(), "test", 2).unwrap();
    let handler = DiesAfterCommit { handler: PayEvents::new(store, None), committed: committed.clone() };
    let broker = Broker::new(vhost.amqp_url(), "dying").unwrap();
    let queue = ConsumerQueue::new("trade", "pay.success");
    let consumer = Consumer::new(broker, queue, RETRY_DELAYS.parse().unwrap());
    let dying = tokio::spawn(consumer.run(handler, CancellationToken::new()));
    committed.notified().await;
    dying.abort();

    let replica = Replica::start(database.url(), vhost.amqp_url()).await;
    eventually("the redelivery to be acknowledged", || async {
        (vhost.queue_depth(SUCCESS_QUEUE) == Some(0)).then_some(())
    })
    .await;
    let paid = replica.order("1").await;
    assert_eq!((&paid["status"], &paid["version"]), (&json!("PAID"), &json!(2)));
    assert_eq!(paid["sub_orders"].as_array().unwrap().len(), 3);
    assert_eq!((replica.audited("applied").await, replica.audited("duplicate").await), (1, 0));
    assert_eq!(replica.parked().await, Vec::<Value>::new());
}
