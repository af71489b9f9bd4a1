//! An ingress on a database and a vhost of its own, with a merchant and a channel.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use channels::ChannelSet;
use channels::standard::{Kind, Notice, Sent, simulate};
use events::codec::{Incoming, decode};
use events::{Currency, Money, PayEvent, PayOrderNo};
use ingress::{Config, Service};
use lapin::message::BasicGetMessage;
use lapin::options::BasicGetOptions;
use lapin::types::ShortString;
use messaging::Broker;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use service::{Loader, Shutdown};
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

pub(crate) const ADMIN_TOKEN: &str = "admin-token";
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// Two accounts with the same keys, so that one may speak for the other's pay orders.
const CHANNELS: &str = r#"
    [gateway_main]
    kind = "standard"
    secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    [gateway_other]
    kind = "standard"
    secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
"#;
const DEADLINE: Duration = devstack::testing::DEADLINE;

/// The servers of one test.
pub(crate) struct World {
    pub(crate) database: devstack::testing::Database,
    pub(crate) vhost: devstack::testing::Vhost,
}

impl World {
    pub(crate) fn create() -> Self {
        Self { database: devstack::testing::Database::create(), vhost: devstack::testing::Vhost::create() }
    }

    /// A database alone, for what needs no broker: an empty vhost takes a second to be filled with queues.
    pub(crate) async fn without_broker(variables: &[(&str, &str)]) -> (Ingress, devstack::testing::Database) {
        let database = devstack::testing::Database::create();
        (Ingress::start(database.url(), "amqp://127.0.0.1:1", variables).await, database)
    }

    pub(crate) async fn ingress(&self, variables: &[(&str, &str)]) -> Ingress {
        Ingress::start(self.database.url(), self.vhost.amqp_url(), variables).await
    }
}

/// A running ingress and the key of the merchant `m1`.
pub(crate) struct Ingress {
    pub(crate) url: String,
    pub(crate) admin_url: String,
    pub(crate) api_key: String,
    pub(crate) http: reqwest::Client,
    shutdown: Shutdown,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Ingress {
    pub(crate) async fn start(database_url: &str, amqp_url: &str, more: &[(&str, &str)]) -> Self {
        let ours = [
            ("PAYRELAY_DATABASE_URL", database_url),
            ("PAYRELAY_AMQP_URL", amqp_url),
            ("PAYRELAY_HTTP_ADDR", "127.0.0.1:0"),
            ("PAYRELAY_ADMIN_ADDR", "127.0.0.1:0"),
            ("PAYRELAY_ADMIN_TOKEN", ADMIN_TOKEN),
        ];
        let variables: BTreeMap<_, _> =
            ours.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut loader = Loader::from_map(variables);
        let config = Config::load(&mut loader);
        loader.finish().expect("a good configuration");
        let channels = ChannelSet::parse(CHANNELS, |path| std::fs::read(path));
        config.channels.add(&channels.expect("good channels"));
        let service = Service::start(config).await.expect("the ingress starts");
        let (http_addr, admin_addr) = (service.http_addr, service.admin_addr);
        let shutdown = Shutdown::new();
        let mut ingress = Self {
            url: format!("http://{http_addr}"),
            admin_url: format!("http://{admin_addr}"),
            api_key: String::new(),
            http: transport::http_client().build().unwrap(),
            running: tokio::spawn(service.run(shutdown.clone())),
            shutdown,
        };
        ingress.api_key = ingress.add_merchant("m1").await.unwrap_or_default();
        ingress
    }

    /// Begins the shutdown and waits for its end.
    pub(crate) async fn stop(self) {
        self.begin_stop(Duration::from_secs(10));
        self.stopped().await;
    }

    pub(crate) fn begin_stop(&self, grace: Duration) {
        self.shutdown.begin(grace);
    }

    /// Waits for the end, which must be a clean one.
    pub(crate) async fn stopped(self) {
        self.running.await.expect("no panic").expect("a clean stop");
    }

    /// The key, if the merchant is new.
    pub(crate) async fn add_merchant(&self, merchant_id: &str) -> Option<String> {
        let request = self.admin(Method::PUT, &format!("/admin/merchants/{merchant_id}")).json(&json!({}));
        let (status, body) = read(request.send().await.unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["api_key"].as_str().map(str::to_owned)
    }

    pub(crate) fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.admin_url)).bearer_auth(ADMIN_TOKEN)
    }

    pub(crate) async fn admin_get(&self, path: &str) -> Value {
        let (status, body) = read(self.admin(Method::GET, path).send().await.unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.api_key)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        read(self.request(Method::POST, path).json(body).send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        read(self.request(Method::GET, path).send().await.unwrap()).await
    }

    pub(crate) async fn create(&self, body: &Value) -> (StatusCode, Value) {
        self.post("/v1/pay-orders", body).await
    }

    /// A pay order of 1999 CNY for `order_no` by `gateway_main`.
    pub(crate) async fn pay_order(&self, order_no: &str) -> PayOrderNo {
        let (status, body) = self.create(&new_pay_order(order_no)).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        number(&body)
    }

    pub(crate) async fn show(&self, number: &PayOrderNo) -> Value {
        let (status, body) = self.get(&format!("/v1/pay-orders/{number}")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    pub(crate) async fn callback(&self, notice: &Notice) -> StatusCode {
        self.send("gateway_main", &signed(notice)).await.0
    }

    pub(crate) async fn send(&self, account: &str, sent: &Sent) -> (StatusCode, Value) {
        let mut request =
            self.http.post(format!("{}/v1/callbacks/{account}", self.url)).body(sent.body.clone());
        for (name, value) in sent.headers() {
            request = request.header(name, value);
        }
        read(request.send().await.unwrap()).await
    }

    /// What the trace tells of the event of this type of an order.
    pub(crate) async fn traced(&self, order_no: &str, event_type: &str) -> Value {
        let trace = self.admin_get(&format!("/admin/trace/{order_no}")).await;
        let mut details = trace["steps"].as_array().unwrap().iter().map(|step| &step["detail"]);
        details.find(|detail| detail["type"] == event_type).unwrap().clone()
    }

    /// Events that are not published yet.
    pub(crate) async fn pending(&self) -> u64 {
        let audit = self.admin_get("/admin/audit").await;
        count(&audit, "committed")
    }
}

/// The number of events at `stage` in an audit.
pub(crate) fn count(audit: &Value, stage: &str) -> u64 {
    let buckets = audit["buckets"].as_array().unwrap().iter().filter(|bucket| bucket["stage"] == stage);
    buckets.map(|bucket| bucket["count"].as_u64().unwrap()).sum()
}

pub(crate) async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.bytes().await.unwrap();
    (status, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() })
}

pub(crate) fn new_pay_order(order_no: &str) -> Value {
    json!({ "order_no": order_no, "amount_minor": 1999, "currency": "CNY", "channel": "gateway_main", "attach": "a=1" })
}

pub(crate) fn number(body: &Value) -> PayOrderNo {
    PayOrderNo::parse(body["pay_order_no"].as_str().unwrap()).unwrap()
}

/// What the channel says of a payment of 1999 CNY with the trade number `T-{pay order number}`.
pub(crate) fn notice(kind: Kind, number: &PayOrderNo) -> Notice {
    Notice {
        kind,
        pay_order_no: number.clone(),
        channel_trade_no: format!("T-{number}"),
        amount: Money::new(1999, Currency::parse("CNY").unwrap()),
        at: OffsetDateTime::now_utc(),
        refunded_minor: None,
    }
}

pub(crate) fn paid(number: &PayOrderNo) -> Notice {
    notice(Kind::PaymentSucceeded, number)
}

pub(crate) fn refunded(number: &PayOrderNo, refunded_minor: i64) -> Notice {
    Notice { refunded_minor: Some(refunded_minor), ..notice(Kind::RefundSucceeded, number) }
}

pub(crate) fn signed(notice: &Notice) -> Sent {
    let id = format!("evt_{}", uuid::Uuid::now_v7().simple());
    simulate(notice, &id, &SECRET.parse().unwrap(), OffsetDateTime::now_utc()).unwrap()
}

/// Asks until there is an answer.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not happen within {DEADLINE:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Takes `count` messages from a queue and acknowledges them.
pub(crate) async fn take(amqp_url: &str, queue: &str, count: usize) -> Vec<BasicGetMessage> {
    let broker = Broker::new(amqp_url, "test").unwrap();
    let mut messages = Vec::new();
    while messages.len() < count {
        let what = format!("message {} of {queue}", messages.len());
        let message = eventually(&what, || async {
            // Of its own: asking a queue that is still to be declared closes the channel, and one that is just being made may
            // cost the connection.
            let connection = broker.connect().await.ok()?;
            let channel = connection.create_channel().await.ok()?;
            let message =
                channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.ok().flatten();
            messaging::close(&connection).await;
            message
        });
        messages.push(message.await);
    }
    messages
}

pub(crate) fn event(message: &BasicGetMessage) -> PayEvent {
    let properties = &message.properties;
    let content_type = properties.content_type().as_ref().map(ShortString::as_str);
    let kind = properties.kind().as_ref().unwrap().as_str();
    match decode(content_type, kind, &message.data, None).unwrap() {
        Incoming::Event(event) => *event,
        Incoming::Bare(bare) => panic!("{bare:?}"),
    }
}
