//! `POST /v1/pay-orders/{pay_order_no}/balance-payment`: a user pays from its balance.
//!
//! The status is looked at, then the password is checked, then one transaction moves the money and marks the pay order paid
//! ([`settle`]). The ledger keeps who has paid, so a repetition by the same user gets the first answer again.

mod settle;

use std::sync::Arc;

use axum::extract::State;
use events::{
    ChannelAccount, Currency, MerchantId, OrderNo, PayOrder, PayOrderNo, Status, UserId, to_micros,
};
use runtime::ApiError;
use serde::{Deserialize, Serialize};
use service::extract::{Json, Path};
use time::OffsetDateTime;

use crate::accounts::PayPassword;
use crate::api_keys::Caller;
use crate::state::App;
use crate::store::pay_orders::{self, Wanted};
use crate::store::users::UserKey;
use crate::trace_context::TraceContext;
use settle::{PaymentRefusal, check_payable, settle};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PaymentRequest {
    user_id: UserId,
    pay_password: PayPassword,
}

/// Who wants to pay what.
#[derive(Debug)]
struct Payment {
    pay_order_no: PayOrderNo,
    user: UserKey,
    trace: TraceContext,
}

/// What a user has paid. Nothing in it ever changes: a refund shows in the pay order.
#[derive(Debug, Serialize)]
pub(crate) struct Receipt {
    pay_order_no: PayOrderNo,
    order_no: OrderNo,
    merchant_id: MerchantId,
    user_id: UserId,
    amount_minor: i64,
    currency: Currency,
    channel: ChannelAccount,
    status: Status,
    /// The `trans_no` of its flow.
    channel_trade_no: Option<String>,
    #[serde(with = "time::serde::rfc3339::option")]
    paid_at: Option<OffsetDateTime>,
}

impl Receipt {
    /// Of a pay order that this user has paid.
    fn new(order: PayOrder, user_id: UserId) -> Self {
        Self {
            pay_order_no: order.pay_order_no,
            order_no: order.order_no,
            merchant_id: order.merchant_id,
            user_id,
            amount_minor: order.amount.amount_minor,
            currency: order.amount.currency,
            channel: order.channel,
            status: Status::TradeSuccess,
            channel_trade_no: order.channel_trade_no,
            paid_at: order.paid_at,
        }
    }
}

/// A payment that is committed.
#[derive(Debug)]
struct Paid {
    order: PayOrder,
    /// By an earlier request of the same user.
    before: bool,
}

pub(crate) async fn pay(
    State(app): State<Arc<App>>,
    Caller(merchant_id): Caller,
    Path(pay_order_no): Path<PayOrderNo>,
    trace: TraceContext,
    Json(request): Json<PaymentRequest>,
) -> Result<Json<Receipt>, ApiError> {
    let PaymentRequest { user_id, pay_password } = request;
    let payment = Payment { pay_order_no, user: UserKey { merchant_id, user_id }, trace };
    let paid = attempt(&app, &payment, &pay_password).await;
    let outcome = match &paid {
        Ok(Paid { before: false, .. }) => "paid",
        Ok(Paid { before: true, .. }) => "repeated",
        Err(error) => error.code(),
    };
    metrics::counter!("payrelay_balance_payments_total", "outcome" => outcome).increment(1);
    paid.map(|paid| Json(Receipt::new(paid.order, payment.user.user_id)))
}

async fn attempt(app: &App, payment: &Payment, password: &PayPassword) -> Result<Paid, ApiError> {
    look(app, payment).await?;
    let turn = app.passwords.turn(&payment.user).await?;
    // Of many who try at once only the first ones need a hash.
    look(app, payment).await?;
    turn.check(&app.database, &payment.user, password).await?;
    Ok(settle(&app.database, &app.signals, payment).await?)
}

/// Whether a payment by this user could be taken, or was.
async fn look(app: &App, payment: &Payment) -> Result<(), ApiError> {
    let wanted = Wanted::PayOrder(payment.pay_order_no.clone());
    let client = app.database.client().await?;
    let found = pay_orders::find(&client, &payment.user.merchant_id, &wanted).await?;
    let stored = found.ok_or(PaymentRefusal::NoPayOrder)?;
    check_payable(&client, &stored, &payment.user, to_micros(OffsetDateTime::now_utc())).await?;
    Ok(())
}
