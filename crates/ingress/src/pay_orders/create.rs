//! `POST /v1/pay-orders`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use channels::ChannelSet;
use events::{
    ChannelAccount, Currency, Fact, FactKind, MerchantId, Money, OrderNo, PayOrder, PayOrderNo, Purpose,
    Status, Verdict, to_micros, transition,
};
use serde::Deserialize;
use service::Problem;
use service::extract::Json;
use time::{Duration, OffsetDateTime};
use url::Url;

use super::view::PayOrderView;
use super::writer::Created;
use crate::api_keys::Caller;
use crate::app::{App, unprocessable};
use crate::store::pay_orders::StoredPayOrder;

/// The longest `subject`, `attach` and `notify_url`, in bytes: as events carry them.
const MAX_TEXT_BYTES: usize = 2048;
const DEFAULT_EXPIRES_IN_SECONDS: i64 = 2 * 60 * 60;
const MAX_EXPIRES_IN_SECONDS: i64 = 7 * 24 * 60 * 60;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPayOrder {
    pub(crate) order_no: OrderNo,
    pub(crate) amount_minor: i64,
    pub(crate) currency: Currency,
    pub(crate) channel: ChannelAccount,
    pub(crate) subject: Option<String>,
    pub(crate) attach: Option<String>,
    pub(crate) notify_url: Option<String>,
    pub(crate) expires_in_seconds: Option<i64>,
    #[serde(default)]
    pub(crate) purpose: Purpose,
}

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Caller(merchant_id): Caller,
    Json(request): Json<NewPayOrder>,
) -> Result<Response, Problem> {
    let now = to_micros(OffsetDateTime::now_utc());
    request.check_is_no_recharge()?;
    let number = PayOrderNo::generate();
    let new = request.into_pay_order(number, merchant_id, &app.channels.current(), now)?;
    let (status, stored) = match app.pay_orders.submit(new).await? {
        Created::New(stored) => (StatusCode::CREATED, stored),
        Created::Same(stored) => (StatusCode::OK, stored),
        Created::Other(stored) => {
            let detail = "this order has an active pay order with other content; close it first";
            return Err(Problem::conflict("order_conflict", detail)
                .member("pay_order_no", stored.order.pay_order_no.as_str()));
        }
    };
    let location = format!("/v1/pay-orders/{}", stored.order.pay_order_no);
    Ok((status, [(LOCATION, location)], Json(PayOrderView::new(stored, app.close_grace, now)))
        .into_response())
}

impl NewPayOrder {
    /// Recharges have requests of their own, and numbers.
    fn check_is_no_recharge(&self) -> Result<(), Problem> {
        if self.purpose == Purpose::Recharge {
            return Err(Problem::invalid(
                "purpose: expected ORDER or EXTERNAL, got RECHARGE; see /v1/recharges",
            ));
        }
        if self.order_no.is_of_recharge() {
            let (prefix, got) = (OrderNo::RECHARGE_PREFIX, &self.order_no);
            return Err(Problem::invalid(format!("order_no: {prefix} is kept for recharges, got {got}")));
        }
        Ok(())
    }

    /// Checks what its types do not, and makes the pay order, submitted to its channel.
    pub(crate) fn into_pay_order(
        self,
        pay_order_no: PayOrderNo,
        merchant_id: MerchantId,
        channels: &ChannelSet,
        now: OffsetDateTime,
    ) -> Result<StoredPayOrder, Problem> {
        if self.amount_minor <= 0 {
            return Err(Problem::invalid(format!(
                "amount_minor: expected more than 0, got {}",
                self.amount_minor
            )));
        }
        if !self.channel.is_balance() && channels.account(self.channel.as_str()).is_none() {
            let detail =
                format!("channel: expected a configured channel account or balance, got {}", self.channel);
            return Err(unprocessable("unknown_channel", detail));
        }
        let expires_in = expires_in(self.expires_in_seconds)?;
        let notify_url = text("notify_url", self.notify_url)?;
        if let Some(url) = &notify_url {
            check_url(url)?;
        }
        let order = PayOrder {
            pay_order_no,
            merchant_id,
            order_no: self.order_no,
            purpose: self.purpose,
            amount: Money::new(self.amount_minor, self.currency),
            channel: self.channel,
            status: Status::NotCommit,
            version: 0,
            refunded_minor: 0,
            channel_trade_no: None,
            paid_at: None,
            subject: text("subject", self.subject)?,
            notify_url,
            attach: text("attach", self.attach)?,
        };
        Ok(StoredPayOrder {
            order: submitted(order),
            created_at: now,
            expires_at: now + expires_in,
            close_requested_at: None,
            payable_until: now + expires_in,
        })
    }
}

/// The merchant takes the buyer to the channel by itself: from the start the pay order waits for the buyer.
fn submitted(order: PayOrder) -> PayOrder {
    match transition(&order, &Fact::own(FactKind::Submitted)) {
        Verdict::Applied(steps) => steps.into_iter().last().map_or(order, |step| step.order),
        Verdict::Duplicate | Verdict::Contradiction(_) => order,
    }
}

fn expires_in(seconds: Option<i64>) -> Result<Duration, Problem> {
    let seconds = seconds.unwrap_or(DEFAULT_EXPIRES_IN_SECONDS);
    if !(1..=MAX_EXPIRES_IN_SECONDS).contains(&seconds) {
        let detail = format!("expires_in_seconds: expected 1 to {MAX_EXPIRES_IN_SECONDS}, got {seconds}");
        return Err(Problem::invalid(detail));
    }
    Ok(Duration::seconds(seconds))
}

/// An empty text is none, as in events.
fn text(field: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.len() > MAX_TEXT_BYTES => Err(Problem::invalid(format!(
            "{field}: expected at most {MAX_TEXT_BYTES} bytes, got {}",
            text.len()
        ))),
        Some(text) if text.contains('\0') => Err(Problem::invalid(format!("{field}: must not contain NUL"))),
        text => Ok(text.filter(|text| !text.is_empty())),
    }
}

/// Which hosts may be called is the notifier's to decide, when it calls.
fn check_url(url: &str) -> Result<(), Problem> {
    let parsed = Url::parse(url).map_err(|error| Problem::invalid(format!("notify_url: {error}")))?;
    if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
        return Err(Problem::invalid("notify_url: expected an http or https URL"));
    }
    Ok(())
}
