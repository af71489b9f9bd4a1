//! `POST /v1/pay-orders`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use channels::ChannelSet;
use events::{
    ChannelAccount, Currency, Fact, FactKind, MerchantId, Money, OrderNo, PayOrder, PayOrderNo, Purpose,
    Status, Transition, Whole, to_micros, transition,
};
use runtime::ApiError;
use serde::Deserialize;
use service::Problem;
use service::extract::Json;
use time::{Duration, OffsetDateTime};
use webhooks::target::TargetPolicy;

use super::view::PayOrderView;
use super::writer::{Created, same_content};
use crate::api_keys::Caller;
use crate::error::unprocessable;
use crate::state::App;
use crate::store::pay_orders::{self, StoredPayOrder, Wanted};

/// The longest `subject` and `attach`, in bytes: as events carry them.
const MAX_TEXT_BYTES: usize = 2048;
const DEFAULT_EXPIRES_IN_SECONDS: i64 = 2 * 60 * 60;
const MAX_EXPIRES_IN_SECONDS: i64 = 7 * 24 * 60 * 60;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPayOrder {
    pub(crate) order_no: OrderNo,
    #[serde(deserialize_with = "Whole::read")]
    pub(crate) amount_minor: i64,
    pub(crate) currency: Currency,
    pub(crate) channel: ChannelAccount,
    pub(crate) subject: Option<String>,
    pub(crate) attach: Option<String>,
    pub(crate) notify_url: Option<String>,
    #[serde(default, deserialize_with = "Whole::read_optional")]
    pub(crate) expires_in_seconds: Option<i64>,
    #[serde(default)]
    pub(crate) purpose: Purpose,
}

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Caller(merchant_id): Caller,
    Json(request): Json<NewPayOrder>,
) -> Result<Response, ApiError> {
    let now = to_micros(OffsetDateTime::now_utc());
    request.check_is_no_recharge()?;
    let refused = check_notify_url(&app.targets, request.notify_url.as_deref());
    let number = PayOrderNo::new(now, rand::random());
    let new = request.into_pay_order(number, merchant_id, &app.channels.current(), now)?;
    if let Err(problem) = refused {
        // What was made while the address was allowed is told again.
        let wanted = Wanted::Order(new.order.order_no.clone());
        let client = app.database.client().await?;
        let known = pay_orders::find(&client, &new.order.merchant_id, &wanted).await?;
        let known = known.filter(|known| same_content(known, &new)).ok_or(problem)?;
        return Ok(Json(PayOrderView::new(known, app.close_grace, now)).into_response());
    }
    let (status, stored) = match app.pay_orders.submit(new).await? {
        Created::New(stored) => (StatusCode::CREATED, stored),
        Created::Same(stored) => (StatusCode::OK, stored),
        Created::Other(stored) => {
            let detail = "this order has an active pay order with other content; close it first";
            return Err(Problem::conflict("order_conflict", detail)
                .member("pay_order_no", stored.order.pay_order_no.as_str())
                .into());
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
            notify_url: text("notify_url", self.notify_url)?,
            attach: text("attach", self.attach)?,
        };
        Ok(StoredPayOrder {
            order: submitted(&order),
            created_at: now,
            expires_at: now + expires_in,
            close_requested_at: None,
            payable_until: now + expires_in,
        })
    }
}

/// The merchant takes the buyer to the channel by itself: from the start the pay order waits for the buyer.
fn submitted(order: &PayOrder) -> PayOrder {
    let Transition::Applied(steps) = transition(order, &Fact::own(FactKind::Submitted)) else {
        unreachable!("a new pay order has not been submitted before");
    };
    steps.into_iter().last().expect("what is applied has a step").order
}

fn expires_in(seconds: Option<i64>) -> Result<Duration, Problem> {
    let seconds = seconds.unwrap_or(DEFAULT_EXPIRES_IN_SECONDS);
    if !(1..=MAX_EXPIRES_IN_SECONDS).contains(&seconds) {
        let detail = format!("expires_in_seconds: expected 1 to {MAX_EXPIRES_IN_SECONDS}, got {seconds}");
        return Err(Problem::invalid(detail));
    }
    Ok(Duration::seconds(seconds))
}

/// Refuses what no webhook would ever be sent to, so that the mistake is seen where it is made.
pub(crate) fn check_notify_url(targets: &TargetPolicy, url: Option<&str>) -> Result<(), Problem> {
    let url = url.filter(|url| !url.is_empty());
    url.map_or(Ok(()), |url| targets.check_new(url))
        .map_err(|bad| Problem::invalid(format!("notify_url: {bad}")))
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
