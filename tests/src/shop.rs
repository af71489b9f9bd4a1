//! The callers: a shop that makes orders and pay orders, and the payment channel that reports back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use channels::standard::{self, Kind, Notice};
use events::{Currency, Money, PayOrderNo};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::sleep;
use webhooks::Secret;

use crate::http::http_client;
use crate::identities::{CHANNEL, Merchant, ORDER_API_TOKEN};
use crate::{Balancer, LIMIT};

/// How long callers wait before they repeat a request.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// What calls in for one merchant. Replicas are called in turn.
#[derive(Debug, Clone)]
pub struct Shop {
    /// Of which merchant.
    pub merchant: Merchant,
    /// For requests of a scenario's own.
    pub http: Client,
    ingress: Arc<[String]>,
    order_service: Arc<[String]>,
    channel_secret: Secret,
    turn: Arc<AtomicUsize>,
}

impl Shop {
    pub(crate) fn new(
        ingress: Arc<[String]>,
        order_service: Arc<[String]>,
        merchant: Merchant,
        channel_secret: Secret,
    ) -> Self {
        Self { merchant, http: http_client(), ingress, order_service, channel_secret, turn: Arc::default() }
    }

    /// A URL of the ingress.
    pub fn ingress(&self, path: &str) -> String {
        self.url(&self.ingress, path)
    }

    /// A URL of the order service.
    pub fn order_service(&self, path: &str) -> String {
        self.url(&self.order_service, path)
    }

    /// The same, calling one replica of each service only.
    #[must_use]
    pub fn only(&self, replica: usize) -> Self {
        let only = |replicas: &[String]| [replicas[replica].clone()].into();
        Self { ingress: only(&self.ingress), order_service: only(&self.order_service), ..self.clone() }
    }

    /// The same, calling the ingress by way of a balancer.
    #[must_use]
    pub fn through(&self, balancer: &Balancer) -> Self {
        Self { ingress: [balancer.url.clone()].into(), ..self.clone() }
    }

    fn url(&self, replicas: &[String], path: &str) -> String {
        format!("{}{path}", replicas[self.turn.fetch_add(1, Ordering::Relaxed) % replicas.len()])
    }

    /// Makes an order of two shops' goods, repeating the request until it is taken.
    pub async fn create_order(&self, order_no: &str, amount_minor: i64) {
        let item = |sku: &str, price_minor: i64, shop_id: &str| json!({"sku": sku, "quantity": 1, "price_minor": price_minor, "shop_id": shop_id, "warehouse_id": "w1"});
        let order = json!({
            "order_no": order_no, "merchant_id": self.merchant.id, "buyer_id": "b1",
            "amount_minor": amount_minor, "currency": "CNY",
            "items": [item("tea", amount_minor / 3, "s1"), item("cup", amount_minor - amount_minor / 3, "s2")],
        });
        let request =
            || self.http.post(self.order_service("/v1/orders")).bearer_auth(ORDER_API_TOKEN).json(&order);
        taken(request).await;
    }

    /// Makes a pay order of [`CHANNEL`], repeating the request until it is taken; returns its number.
    pub async fn create_pay_order(&self, order_no: &str, amount_minor: i64) -> String {
        self.create_pay_order_with(order_no, amount_minor, &json!({})).await
    }

    /// The same with `more` fields.
    pub async fn create_pay_order_with(&self, order_no: &str, amount_minor: i64, more: &Value) -> String {
        let mut pay_order = json!({
            "order_no": order_no, "amount_minor": amount_minor, "currency": "CNY", "channel": CHANNEL, "subject": "tea",
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            pay_order[name] = value.clone();
        }
        let request = || {
            self.http
                .post(self.ingress("/v1/pay-orders"))
                .bearer_auth(&self.merchant.api_key)
                .json(&pay_order)
        };
        let created: Value = taken(request).await.json().await.expect("JSON");
        created["pay_order_no"].as_str().unwrap_or_else(|| panic!("a number in {created}")).to_owned()
    }

    /// What the channel has to say: `kind` about the whole amount, under the trade number `T-{pay_order_no}`.
    pub fn notice(&self, kind: Kind, pay_order_no: &str, amount_minor: i64) -> Notice {
        Notice {
            kind,
            pay_order_no: PayOrderNo::parse(pay_order_no).expect("a pay order number"),
            channel_trade_no: format!("T-{pay_order_no}"),
            amount: Money::new(amount_minor, Currency::parse("CNY").expect("a currency")),
            at: OffsetDateTime::now_utc(),
            refunded_minor: None,
        }
    }

    /// The callback of `notice`, ready to be sent. Repeated, it is the same webhook in another attempt.
    pub fn callback(&self, notice: &Notice) -> RequestBuilder {
        let refunded = notice.refunded_minor.unwrap_or_default();
        let id = format!(
            "{}_{}_{}_{refunded}",
            notice.channel_trade_no,
            notice.kind.status(),
            notice.amount.amount_minor
        );
        let sent = standard::simulate(notice, &id, &self.channel_secret, OffsetDateTime::now_utc())
            .expect("a valid id");
        let request = self.http.post(self.ingress(&format!("/v1/callbacks/{CHANNEL}")));
        let request =
            sent.headers().into_iter().fold(request, |request, (name, value)| request.header(name, value));
        request.body(sent.body)
    }

    /// Sends one callback once; the status of the answer.
    pub async fn tell(&self, notice: &Notice) -> u16 {
        self.callback(notice).send().await.expect("an answer").status().as_u16()
    }

    /// Repeats a callback, as channels do, until it is taken.
    pub async fn tell_until_taken(&self, notice: &Notice) {
        assert_eq!(taken(|| self.callback(notice)).await.status(), StatusCode::NO_CONTENT);
    }

    /// Makes an order and a pay order, and pays it; returns the number of the pay order.
    pub async fn pay(&self, order_no: &str, amount_minor: i64) -> String {
        self.create_order(order_no, amount_minor).await;
        let pay_order_no = self.create_pay_order(order_no, amount_minor).await;
        self.tell_until_taken(&self.notice(Kind::PaymentSucceeded, &pay_order_no, amount_minor)).await;
        pay_order_no
    }

    /// The order as the order service holds it.
    pub async fn order(&self, order_no: &str) -> Value {
        let path = format!("/v1/orders/{}/{order_no}", self.merchant.id);
        let request = || self.http.get(self.order_service(&path)).bearer_auth(ORDER_API_TOKEN);
        taken(request).await.json().await.expect("JSON")
    }

    /// The pay order as the ingress holds it.
    pub async fn pay_order(&self, pay_order_no: &str) -> Value {
        let path = format!("/v1/pay-orders/{pay_order_no}");
        let request = || self.http.get(self.ingress(&path)).bearer_auth(&self.merchant.api_key);
        taken(request).await.json().await.expect("JSON")
    }
}

/// Repeats a request while it fails for a reason that may pass: no answer, or a 5xx.
async fn taken(request: impl Fn() -> RequestBuilder) -> Response {
    let deadline = Instant::now() + LIMIT;
    loop {
        let seen = match request().send().await {
            Ok(answer) if answer.status().is_success() => return answer,
            Ok(answer) => {
                let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
                assert!(status.is_server_error(), "refused with {status}: {text}");
                format!("{status}: {text}")
            }
            Err(error) => format!("{error:?}"),
        };
        assert!(Instant::now() < deadline, "not taken within {LIMIT:?}; at last: {seen}");
        sleep(RETRY_INTERVAL).await;
    }
}
