//! The callers' side: makes one payment as a shop and its payment channel would, and notes what they were told.

use std::{future::Future, time::Duration};

use anyhow::{Context, bail, ensure};
use channels::standard::{self, Notice};
use events::{Currency, Money, PayOrderNo};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::sleep;
use uuid::Uuid;
use webhooks::Secret;

use super::plan::{Kind, PaymentPlan};

/// How often a channel repeats a callback that was not taken, and how long it waits in between.
const ATTEMPTS: u32 = 100;
const ATTEMPT_DELAY: Duration = Duration::from_millis(200);

/// What is needed to make payments.
pub(super) struct Driver {
    pub(super) http: Client,
    pub(super) ingress_url: String,
    pub(super) order_service_url: String,
    pub(super) order_api_token: String,
    /// The channel account and the secret it signs with.
    pub(super) account: String,
    pub(super) secret: Secret,
}

/// A payment that was made, as its callers know it.
#[derive(Debug, Clone)]
pub(super) struct Payment {
    pub(super) plan: PaymentPlan,
    pub(super) pay_order_no: String,
    /// The channel was told `success` for its success callback.
    pub(super) told_paid: bool,
    /// Callbacks beyond the first that were answered with success and must have had no effect.
    pub(super) duplicates: u64,
}

impl Driver {
    /// Makes one payment.
    pub(super) async fn pay(&self, plan: PaymentPlan, api_key: &str) -> anyhow::Result<Payment> {
        if plan.kind != Kind::UnknownOrder {
            self.create_order(plan).await?;
        }
        let pay_order_no = self.create_pay_order(plan, api_key).await?;
        let channel = Channel { driver: self, plan, pay_order_no: PayOrderNo::parse(&*pay_order_no)? };
        let mut payment = Payment { plan, pay_order_no, told_paid: true, duplicates: 0 };
        match plan.kind {
            Kind::Plain | Kind::UnknownOrder => channel.tell(standard::Kind::PaymentSucceeded).await?,
            Kind::Repeated => {
                let repeat = || channel.tell_as("evt", standard::Kind::PaymentSucceeded);
                tokio::try_join!(repeat(), repeat())?;
                repeat().await?;
                payment.duplicates = 2;
            }
            Kind::RefundFirst => {
                channel.tell(standard::Kind::RefundSucceeded).await?;
                channel.tell(standard::Kind::PaymentSucceeded).await?;
                // The refund brought the success along: the success itself comes second.
                payment.duplicates = 1;
            }
            Kind::LateFailure => {
                channel.tell(standard::Kind::PaymentSucceeded).await?;
                channel.tell(standard::Kind::PaymentFailed).await?;
                payment.duplicates = 1;
            }
            Kind::Forged => {
                channel.forge().await?;
                channel.tell(standard::Kind::PaymentSucceeded).await?;
            }
            Kind::WrongAmount => {
                channel.tell_wrong_amount().await?;
                payment.told_paid = false;
            }
        }
        Ok(payment)
    }

    async fn create_order(&self, plan: PaymentPlan) -> anyhow::Result<()> {
        let first = plan.amount_minor() / 3;
        let order = json!({
            "order_no": plan.order_no(),
            "merchant_id": plan.merchant.id,
            "buyer_id": "demo-buyer",
            "amount_minor": plan.amount_minor(),
            "currency": "CNY",
            "items": [
                {"sku": "tea", "quantity": 1, "price_minor": first, "shop_id": "s1", "warehouse_id": "w1"},
                {"sku": "cup", "quantity": 1, "price_minor": plan.amount_minor() - first, "shop_id": "s2", "warehouse_id": "w1"},
            ],
        });
        let request = || {
            let url = format!("{}/v1/orders", self.order_service_url);
            self.http.post(url).bearer_auth(&self.order_api_token).json(&order).send()
        };
        until_taken(request).await.context("POST /v1/orders")?;
        Ok(())
    }

    async fn create_pay_order(&self, plan: PaymentPlan, api_key: &str) -> anyhow::Result<String> {
        let pay_order = json!({
            "order_no": plan.order_no(),
            "amount_minor": plan.amount_minor(),
            "currency": "CNY",
            "channel": self.account,
            "subject": "demo",
            "attach": format!("index={}", plan.index),
        });
        let request = || {
            let url = format!("{}/v1/pay-orders", self.ingress_url);
            self.http.post(url).bearer_auth(api_key).json(&pay_order).send()
        };
        let created: Value = until_taken(request).await.context("POST /v1/pay-orders")?.json().await?;
        let number = created["pay_order_no"].as_str().context("a pay order without a number")?;
        Ok(number.to_owned())
    }

    /// The order as the order service holds it; `None` if it has none.
    pub(super) async fn order(&self, plan: PaymentPlan) -> anyhow::Result<Option<Value>> {
        let url = format!("{}/v1/orders/{}/{}", self.order_service_url, plan.merchant.id, plan.order_no());
        let response = self.http.get(url).bearer_auth(&self.order_api_token).send().await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => Ok(Some(response.json().await?)),
            status => bail!("GET order {}: {status}", plan.order_no()),
        }
    }
}

/// The channel, as far as it concerns one payment.
struct Channel<'a> {
    driver: &'a Driver,
    plan: PaymentPlan,
    pay_order_no: PayOrderNo,
}

impl Channel<'_> {
    /// Repeats a callback until it is taken.
    async fn tell(&self, kind: standard::Kind) -> anyhow::Result<()> {
        self.tell_as(kind.as_str(), kind).await
    }

    /// The same under an event name of the caller's choice: a channel that repeats itself keeps the name.
    async fn tell_as(&self, event: &str, kind: standard::Kind) -> anyhow::Result<()> {
        let notice = self.notice(kind, self.plan.amount_minor())?;
        let secret = &self.driver.secret;
        let status = until_taken(|| self.post(event, &notice, secret)).await.context("callback")?.status();
        ensure!(status == StatusCode::NO_CONTENT, "callback {}: expected 204, got {status}", kind.as_str());
        Ok(())
    }

    /// A callback signed with a key that is not the channel's: to be refused.
    async fn forge(&self) -> anyhow::Result<()> {
        let notice = self.notice(standard::Kind::PaymentSucceeded, self.plan.amount_minor())?;
        let status = self.post("forged", &notice, &Secret::generate(rand::random())).await?.status();
        ensure!(status == StatusCode::UNAUTHORIZED, "forged callback: expected 401, got {status}");
        Ok(())
    }

    /// An authentic callback about other money: to be answered as a failure.
    async fn tell_wrong_amount(&self) -> anyhow::Result<()> {
        let notice = self.notice(standard::Kind::PaymentSucceeded, self.plan.amount_minor() - 1)?;
        let status = self.post("wrong-amount", &notice, &self.driver.secret).await?.status();
        ensure!(status == StatusCode::CONFLICT, "callback of another amount: expected 409, got {status}");
        Ok(())
    }

    fn notice(&self, kind: standard::Kind, amount_minor: i64) -> anyhow::Result<Notice> {
        let refund = kind == standard::Kind::RefundSucceeded;
        Ok(Notice {
            kind,
            pay_order_no: self.pay_order_no.clone(),
            channel_trade_no: format!("T{}", self.plan.index),
            amount: Money::new(amount_minor, Currency::parse("CNY")?),
            at: OffsetDateTime::now_utc(),
            refunded_minor: refund.then(|| self.plan.refunded_minor()),
        })
    }

    async fn post(
        &self,
        event: &str,
        notice: &Notice,
        secret: &Secret,
    ) -> reqwest::Result<reqwest::Response> {
        let driver = self.driver;
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{}/{event}", self.pay_order_no).as_bytes());
        // Only an id that is no visible ASCII is refused, and a UUID is that.
        let sent = standard::simulate(notice, &id.to_string(), secret, OffsetDateTime::now_utc())
            .unwrap_or_else(|_| unreachable!());
        let mut request = driver.http.post(format!("{}/v1/callbacks/{}", driver.ingress_url, driver.account));
        for (name, value) in sent.headers() {
            request = request.header(name, value);
        }
        request.body(sent.body).send().await
    }
}

/// Repeats a request, as shops and channels do, while it fails for a reason that may pass.
async fn until_taken<F>(mut request: impl FnMut() -> F) -> anyhow::Result<reqwest::Response>
where
    F: Future<Output = reqwest::Result<reqwest::Response>>,
{
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match request().await {
            Ok(response) if response.status().is_success() => return Ok(response),
            Ok(response) if response.status().is_client_error() => {
                bail!("{}: {}", response.status(), response.text().await.unwrap_or_default())
            }
            Ok(response) => last = response.status().to_string(),
            Err(error) => last = error.to_string(),
        }
        sleep(ATTEMPT_DELAY).await;
    }
    bail!("not taken after {ATTEMPTS} attempts: {last}")
}
