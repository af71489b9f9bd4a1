//! A whole service on a database and a vhost of its own, seen from outside.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use devstack::testing;
use events::codec::{PROTOBUF, encode_protobuf};
use events::{PayEvent, SOURCE};
use messaging::{Broker, EXCHANGE, Message, PublishOutcome, Publisher, Topology};
use order_service::{Config, Service};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use service::{Loader, Shutdown};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fixtures::{MERCHANT, add_twins, order};

pub(crate) const API_TOKEN: &str = "orders";
pub(crate) const ADMIN_TOKEN: &str = "admin";
/// Short, so that a test waits for all of them.
pub(crate) const RETRY_DELAYS: &str = "200ms,300ms,400ms";
const DEADLINE: Duration = devstack::testing::DEADLINE;
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Waits until `look` finds something.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let poll = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::time::timeout(DEADLINE, poll).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

pub(crate) fn config(database_url: &str, amqp_url: &str) -> Config {
    let variables = [
        ("PAYRELAY_DATABASE_URL", database_url),
        ("PAYRELAY_AMQP_URL", amqp_url),
        ("PAYRELAY_HTTP_ADDR", "127.0.0.1:0"),
        ("PAYRELAY_ADMIN_ADDR", "127.0.0.1:0"),
        ("PAYRELAY_ADMIN_TOKEN", ADMIN_TOKEN),
        ("PAYRELAY_ORDER_API_TOKEN", API_TOKEN),
        ("PAYRELAY_DEFAULT_MERCHANT_ID", MERCHANT),
        ("PAYRELAY_RETRY_DELAYS", RETRY_DELAYS),
    ];
    let pairs = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut loader = Loader::from_map(BTreeMap::from(pairs));
    let config = Config::load(&mut loader);
    loader.finish().unwrap();
    config
}

/// A running replica.
pub(crate) struct Replica {
    client: reqwest::Client,
    url: String,
    admin_url: String,
    shutdown: Shutdown,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Replica {
    pub(crate) async fn start(database_url: &str, amqp_url: &str) -> Self {
        let replica = Self::run(Service::start(config(database_url, amqp_url)).await.unwrap());
        add_twins(database_url);
        // Ready for requests, and for events.
        eventually("the service to consume", || async {
            (replica.readiness().await == (StatusCode::OK, "ok".to_owned())).then_some(())
        })
        .await;
        replica
    }

    pub(crate) fn run(service: Service) -> Self {
        let (http_addr, admin_addr) = (service.http_addr, service.admin_addr);
        let shutdown = Shutdown::new();
        Self {
            client: transport::http_client().build().unwrap(),
            url: format!("http://{http_addr}"),
            admin_url: format!("http://{admin_addr}"),
            shutdown: shutdown.clone(),
            running: tokio::spawn(service.run(shutdown)),
        }
    }

    /// What `/readyz` answers, and says of the broker.
    pub(crate) async fn readiness(&self) -> (StatusCode, String) {
        let ready = self.admin(Method::GET, "/readyz").await;
        let (status, report): (_, Value) = (ready.status(), ready.json().await.unwrap());
        (status, report["checks"]["rabbitmq"].as_str().unwrap_or_default().to_owned())
    }

    /// Drains it and waits for its end.
    pub(crate) async fn stop(self) {
        self.shutdown.begin(Duration::from_secs(10));
        self.running.await.unwrap().unwrap();
    }

    pub(crate) async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(API_TOKEN);
        let request = if let Some(body) = body { request.json(&body) } else { request };
        request.send().await.unwrap()
    }

    pub(crate) async fn anonymous(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    pub(crate) async fn admin(&self, method: Method, path: &str) -> Response {
        let request = self.client.request(method, format!("{}{path}", self.admin_url));
        request.bearer_auth(ADMIN_TOKEN).send().await.unwrap()
    }

    pub(crate) async fn admin_post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = self.client.post(format!("{}{path}", self.admin_url)).bearer_auth(ADMIN_TOKEN);
        let response = request.json(body).send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    pub(crate) async fn create(&self, order_no: &str) {
        let created = self.request(Method::POST, "/v1/orders", Some(json!(order(order_no)))).await;
        assert_eq!(created.status(), StatusCode::CREATED);
    }

    pub(crate) async fn order(&self, order_no: &str) -> Value {
        let found = self.request(Method::GET, &format!("/v1/orders/{MERCHANT}/{order_no}"), None).await;
        found.json().await.unwrap()
    }

    /// The order once it has this status.
    pub(crate) async fn order_with_status(&self, order_no: &str, status: &str) -> Value {
        eventually(&format!("order {order_no} to be {status}"), || async {
            Some(self.order(order_no).await).filter(|order| order["status"] == status)
        })
        .await
    }

    pub(crate) async fn parked(&self) -> Vec<Value> {
        self.admin(Method::GET, "/admin/parked").await.json().await.unwrap()
    }

    /// What is parked once it is `count` messages.
    pub(crate) async fn parked_once(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} parked messages"), || async {
            Some(self.parked().await).filter(|parked| parked.len() == count)
        })
        .await
    }

    /// How many events stand at `stage`.
    pub(crate) async fn audited(&self, stage: &str) -> u64 {
        let report: Value = self.admin(Method::GET, "/admin/audit").await.json().await.unwrap();
        let buckets = report["buckets"].as_array().unwrap();
        let at_stage = buckets.iter().filter(|bucket| bucket["stage"] == stage);
        at_stage.map(|bucket| bucket["count"].as_u64().unwrap()).sum()
    }

    /// Until `count` events stand at `stage`.
    pub(crate) async fn audited_once(&self, stage: &str, count: u64) {
        eventually(&format!("{count} events {stage}"), || async {
            (self.audited(stage).await == count).then_some(())
        })
        .await;
    }
}

/// A database and a vhost of the test's own, one replica, and a publisher beside it.
pub(crate) struct Fixture {
    pub(crate) replica: Replica,
    pub(crate) publisher: Publisher,
    pub(crate) database: testing::Database,
    pub(crate) vhost: testing::Vhost,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        let (database, vhost) = (testing::Database::create(), testing::Vhost::create());
        let replica = Replica::start(database.url(), vhost.amqp_url()).await;
        let publisher = publisher(vhost.amqp_url()).await;
        Self { replica, publisher, database, vhost }
    }

    pub(crate) async fn with_orders(order_nos: &[&str]) -> Self {
        let fixture = Self::start().await;
        for order_no in order_nos {
            fixture.replica.create(order_no).await;
        }
        fixture
    }

    pub(crate) async fn publish(&self, messages: Vec<Message>) {
        publish(&self.publisher, messages).await;
    }

    /// Waits until the queue's dead letters are `count`.
    pub(crate) async fn dead_letters(&self, queue: &str, count: u64) {
        eventually(&format!("{count} dead letters of {queue}"), || async {
            (self.vhost.queue_depth(&format!("{queue}.dlq")) == Some(count)).then_some(())
        })
        .await;
    }
}

/// A publisher on a broker with the whole topology, so that nothing is unroutable.
pub(crate) async fn publisher(amqp_url: &str) -> Publisher {
    let broker = Broker::new(amqp_url, "test").unwrap();
    broker.declare(&Topology::payrelay(&RETRY_DELAYS.parse().unwrap())).await.unwrap();
    let publisher = Publisher::spawn(broker, CancellationToken::new());
    // A publish waits for that for a few seconds only, and a busy machine may take longer.
    eventually("a connection", || async { publisher.is_ready().then_some(()) }).await;
    publisher
}

pub(crate) async fn publish(publisher: &Publisher, messages: Vec<Message>) {
    let count = messages.len();
    assert_eq!(publisher.publish(messages).await.unwrap(), vec![PublishOutcome::Confirmed; count]);
}

/// An event as the ingress publishes it.
pub(crate) fn message(event: &PayEvent) -> Message {
    let headers = [("cloudEvents_source", SOURCE), ("traceparent", TRACEPARENT)];
    Message {
        message_id: event.event_id.to_string(),
        content_type: PROTOBUF.to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        body: encode_protobuf(event).into(),
        ..foreign(event.event_type.as_str(), "", "")
    }
}

/// The trace of every message of [`message`].
pub(crate) const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A message as somebody else publishes it: without an id.
pub(crate) fn foreign(routing_key: &str, content_type: &str, body: &str) -> Message {
    Message {
        exchange: EXCHANGE.to_owned(),
        routing_key: routing_key.to_owned(),
        message_id: String::new(),
        kind: routing_key.to_owned(),
        content_type: content_type.to_owned(),
        timestamp: None,
        headers: BTreeMap::new(),
        body: body.to_owned().into(),
    }
}
