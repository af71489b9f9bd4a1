//! The whole service: from a message on the exchange to the merchant.

use std::collections::BTreeMap;

use bytes::Bytes;
use events::{PayEvent, SOURCE, codec};
use merchant_notifier::{Config, Service};
use messaging::{Broker, EXCHANGE, Message, PublishOutcome, Publisher, RetryDelays, Topology};
use reqwest::StatusCode;
use serde_json::{Value, json};
use service::{Loader, Shutdown};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::merchant::{Merchant, Reply};
use crate::support::{TestDatabase, event, eventually, refund_of};

const MASTER_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const DEAD_LETTERS: &str = "merchant.pay.success.queue.dlq";

/// A database, a vhost with the topology in it, and a publisher.
pub(crate) struct Servers {
    pub(crate) db: TestDatabase,
    vhost: devstack::testing::Vhost,
    publisher: Publisher,
}

impl Servers {
    pub(crate) async fn start() -> Self {
        service::tls::install();
        let db = TestDatabase::create().await;
        let vhost = tokio::task::spawn_blocking(devstack::testing::Vhost::create).await.unwrap();
        let broker = Broker::new(vhost.amqp_url(), "test").unwrap();
        broker.declare(&Topology::payrelay(&RetryDelays::default())).await.unwrap();
        let publisher = Publisher::spawn(broker, CancellationToken::new());
        // A publish waits for that for a few seconds only, and a busy machine may take longer.
        eventually("a connection", async || publisher.is_ready().then_some(())).await;
        Self { db, vhost, publisher }
    }

    fn config(&self, master_key: &str) -> Config {
        let variables = [
            ("PAYRELAY_DATABASE_URL", self.db.server.url()),
            ("PAYRELAY_AMQP_URL", self.vhost.amqp_url()),
            ("PAYRELAY_ADMIN_ADDR", "127.0.0.1:0"),
            ("PAYRELAY_ADMIN_TOKEN", "token"),
            ("PAYRELAY_MASTER_KEY", master_key),
            ("PAYRELAY_ALLOWED_WEBHOOK_CIDRS", "127.0.0.0/8"),
            ("PAYRELAY_DEFAULT_MERCHANT_ID", "m1"),
            ("PAYRELAY_NOTIFY_LADDER", "300ms,300ms,300ms,300ms"),
        ];
        let variables: BTreeMap<_, _> =
            variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut loader = Loader::from_map(variables);
        let config = Config::load(&mut loader);
        loader.finish().unwrap();
        config
    }

    pub(crate) async fn replica(&self) -> Replica {
        let service = Service::start(self.config(MASTER_KEY)).await.unwrap();
        let admin = format!("http://{}", service.admin_addr);
        let shutdown = Shutdown::new();
        Replica { admin, task: tokio::spawn(service.run(shutdown.clone())), shutdown }
    }

    pub(crate) fn broker(&self) -> Broker {
        Broker::new(self.vhost.amqp_url(), "test").unwrap()
    }

    pub(crate) async fn publish(&self, messages: Vec<Message>) {
        let outcomes = self.publisher.publish(messages).await.unwrap();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, PublishOutcome::Confirmed)), "{outcomes:?}");
    }

    pub(crate) async fn handled(&self, count: i64) {
        let statement = "SELECT count(*) FROM notify.handled";
        eventually(statement, async || (self.db.value::<i64>(statement).await == count).then_some(())).await;
    }

    async fn notifications(&self, status: &str, count: i64) {
        let statement = format!("SELECT count(*) FROM notify.notifications WHERE status = '{status}'");
        eventually(status, async || (self.db.value::<i64>(&statement).await == count).then_some(())).await;
    }
}

/// A running service.
pub(crate) struct Replica {
    admin: String,
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Replica {
    pub(crate) async fn stop(self) {
        self.shutdown.begin(std::time::Duration::from_secs(20));
        self.task.await.unwrap().unwrap();
    }

    async fn put(&self, merchant_id: &str, body: Value) -> Value {
        let url = format!("{}/admin/endpoints/{merchant_id}", self.admin);
        let request = transport::http_client().build().unwrap().put(url).bearer_auth("token").json(&body);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    /// Adds a merchant and tells it its secret.
    pub(crate) async fn connect(&self, merchant_id: &str, merchant: &Merchant) {
        let endpoint = self.put(merchant_id, json!({ "url": merchant.url })).await;
        let secret: webhooks::Secret = endpoint["secret"].as_str().unwrap().parse().unwrap();
        merchant.trust(secret.verifying_key());
    }

    async fn ready(&self) -> StatusCode {
        transport::http_client()
            .build()
            .unwrap()
            .get(format!("{}/readyz", self.admin))
            .send()
            .await
            .unwrap()
            .status()
    }
}

pub(crate) fn message(event: &PayEvent) -> Message {
    Message {
        exchange: EXCHANGE.to_owned(),
        routing_key: event.event_type.to_string(),
        message_id: event.event_id.to_string(),
        kind: event.event_type.to_string(),
        content_type: codec::PROTOBUF.to_owned(),
        timestamp: Some(event.occurred_at),
        headers: [("traceparent", TRACE), ("cloudEvents_source", SOURCE)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        body: codec::encode_protobuf(event).into(),
    }
}

fn text(body: &'static str, content_type: &str, message_id: &str) -> Message {
    Message {
        body: Bytes::from_static(body.as_bytes()),
        content_type: content_type.to_owned(),
        message_id: message_id.to_owned(),
        ..message(&event("m1", "1"))
    }
}

#[tokio::test]
async fn an_event_becomes_one_signed_webhook_and_its_refund_comes_after_it() {
    let servers = Servers::start().await;
    let replica = servers.replica().await;
    let merchant = Merchant::start(|n| if n == 0 { Reply::status(500) } else { Reply::OK }).await;
    replica.connect("m1", &merchant).await;
    let success = event("m1", "10001");
    let mut again = success.clone();
    again.event_id = events::EventId(uuid::Uuid::now_v7());
    servers.publish([&success, &success, &again].map(message).into()).await;
    // The first attempt fails: the refund finds its success pending.
    merchant.wait_for(1).await;
    servers.publish(vec![message(&refund_of(&success))]).await;
    servers.notifications("DELIVERED", 2).await;

    let calls = merchant.received();
    let types: Vec<_> = calls.iter().map(|call| call.body["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["pay.success", "pay.success", "pay.refunded"]);
    assert!(calls.iter().all(|call| call.order_no() == "10001"));
    let traceparent = calls[0].headers["traceparent"].to_str().unwrap();
    assert!(traceparent.starts_with(&TRACE[..36]) && traceparent != TRACE, "{traceparent}");
    let outcomes = "SELECT array_agg(outcome ORDER BY outcome) FROM notify.handled WHERE NOT upstream";
    let outcomes: Vec<String> = eventually("handled", async || {
        Some(servers.db.value(outcomes).await).filter(|all: &Vec<_>| all.len() == 3)
    })
    .await;
    assert_eq!(outcomes, ["applied", "applied", "duplicate"]);
    assert_eq!(replica.ready().await, StatusCode::OK);
    replica.stop().await;
}

/// The id of another event, by a publisher's mistake, and a day that has no partition any more.
#[tokio::test]
async fn what_the_log_cannot_take_is_told_all_the_same() {
    let servers = Servers::start().await;
    let replica = servers.replica().await;
    let merchant = Merchant::start(|_| Reply::OK).await;
    replica.connect("m1", &merchant).await;
    let [first, mut same_id, mut old, new] = ["10001", "10002", "10003", "10004"].map(|no| event("m1", no));
    (same_id.event_id, same_id.occurred_at) = (first.event_id, first.occurred_at);
    old.occurred_at -= time::Duration::days(400);
    servers.publish(vec![message(&first)]).await;
    servers.notifications("DELIVERED", 1).await;
    servers.publish([&same_id, &old, &new].map(message).into()).await;
    servers.notifications("DELIVERED", 4).await;

    let logged: Vec<String> =
        servers.db.value("SELECT array_agg(order_no ORDER BY order_no) FROM notify.handled").await;
    assert_eq!(logged, ["10001", "10004"]);
    replica.stop().await;
}

#[tokio::test]
async fn poison_among_good_messages_is_dead_lettered_alone() {
    let servers = Servers::start().await;
    let replica = servers.replica().await;
    let merchant = Merchant::start(|_| Reply::OK).await;
    replica.connect("m1", &merchant).await;
    let mut late = event("m1", "late");
    late.occurred_at += time::Duration::days(2);
    let mut untraced = message(&event("m1", "1"));
    untraced.headers.insert("traceparent".to_owned(), "\0".to_owned());
    let messages = vec![
        untraced,
        text("\u{1}\u{2}", codec::PROTOBUF, "undecodable"),
        message(&event("nobody", "2")),
        text("10001", codec::TEXT, "bare"),
        message(&late),
        text(r#"{"eventId":"x"}"#, codec::JSON, ""),
        message(&event("m1", "3")),
    ];
    servers.publish(messages).await;
    servers.notifications("DELIVERED", 2).await;
    let reasons = "SELECT coalesce(array_agg(reason ORDER BY reason), '{}') FROM notify.parked";
    let reasons: Vec<String> = eventually("parked", async || {
        Some(servers.db.value(reasons).await).filter(|all: &Vec<_>| all.len() == 4)
    })
    .await;
    assert_eq!(reasons, ["invalid", "invalid", "undecodable", "unknown_merchant"]);
    let vhost = &servers.vhost;
    eventually("dead letters", async || (vhost.queue_depth(DEAD_LETTERS) == Some(4)).then_some(())).await;
    replica.stop().await;
    assert_eq!(
        vhost.queue_depth("merchant.pay.success.queue"),
        Some(0),
        "the bare number is skipped, not kept"
    );
    assert_eq!(merchant.received().len(), 2);
}

#[tokio::test]
async fn two_replicas_under_load_tell_every_merchant_once() {
    let servers = Servers::start().await;
    let replicas = [servers.replica().await, servers.replica().await];
    let merchant = Merchant::start(|_| Reply::OK).await;
    replicas[0].connect("m1", &merchant).await;
    let events: Vec<_> = (0..300).map(|order| event("m1", &format!("{order}"))).collect();
    // Each twice, as a relay does that was interrupted.
    servers.publish(events.iter().chain(&events).map(message).collect()).await;
    servers.notifications("DELIVERED", 300).await;
    for replica in replicas {
        replica.stop().await;
    }
    let mut orders: Vec<_> = merchant.received().iter().map(|call| call.order_no().to_owned()).collect();
    assert_eq!(orders.len(), 300);
    orders.sort();
    orders.dedup();
    assert_eq!(orders.len(), 300);
}

#[tokio::test]
async fn a_stop_loses_nothing_and_the_next_start_goes_on() {
    let servers = Servers::start().await;
    let first = servers.replica().await;
    let merchant = Merchant::start(|n| if n == 0 { Reply::status(503) } else { Reply::OK }).await;
    first.connect("m1", &merchant).await;
    servers.publish(vec![message(&event("m1", "1"))]).await;
    merchant.wait_for(1).await;
    first.stop().await;
    servers.publish(vec![message(&event("m1", "2"))]).await;
    let second = servers.replica().await;
    servers.notifications("DELIVERED", 2).await;
    second.stop().await;
    assert_eq!(merchant.received().len(), 3);
}

#[tokio::test]
async fn another_master_key_is_refused_at_the_start() {
    let servers = Servers::start().await;
    let replica = servers.replica().await;
    replica.put("m1", json!({})).await;
    replica.stop().await;
    let other = servers.config("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
    let error = Service::start(other).await.unwrap_err();
    assert!(error.to_string().contains("PAYRELAY_MASTER_KEY"), "{error:#}");
}

#[tokio::test]
async fn a_grace_that_is_too_short_is_an_error() {
    let servers = Servers::start().await;
    let service = Service::start(servers.config(MASTER_KEY)).await.unwrap();
    let shutdown = Shutdown::new();
    shutdown.hard.cancel();
    let error = service.run(shutdown).await.unwrap_err();
    assert!(error.to_string().contains("grace"), "{error:#}");
}
