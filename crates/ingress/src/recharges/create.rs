//! `POST /v1/recharges`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use channels::ChannelSet;
use events::{
    ChannelAccount, Currency, MerchantId, OrderNo, PayOrderNo, Purpose, RechargeNo, UserId, Whole, to_micros,
};
use runtime::ApiError;
use serde::Deserialize;
use service::Problem;
use service::extract::Json;
use storage::{Database, Error, Transaction};
use time::OffsetDateTime;

use super::view::RechargeView;
use crate::api_keys::Caller;
use crate::error::unprocessable;
use crate::pay_orders::{NewPayOrder, check_notify_url, same_content};
use crate::state::App;
use crate::store::new_pay_orders;
use crate::store::recharges::{self, Recharge};
use crate::store::users::UserKey;

/// The most that is recharged at once: sums over all recharges must stay within an `i64`.
const MAX_AMOUNT_MINOR: i64 = 1_000_000_000_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRecharge {
    recharge_no: RechargeNo,
    user_id: UserId,
    #[serde(deserialize_with = "Whole::read")]
    amount_minor: i64,
    currency: Currency,
    channel: ChannelAccount,
    subject: Option<String>,
    attach: Option<String>,
    notify_url: Option<String>,
    #[serde(default, deserialize_with = "Whole::read_optional")]
    expires_in_seconds: Option<i64>,
}

/// What came of a new recharge.
#[derive(Debug)]
enum Created {
    New,
    /// The merchant has this one of the number.
    Known(Box<Recharge>),
    /// The user has no account in the currency.
    NoAccount,
}

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Caller(merchant_id): Caller,
    Json(request): Json<NewRecharge>,
) -> Result<Response, ApiError> {
    let now = to_micros(OffsetDateTime::now_utc());
    let refused = check_notify_url(&app.targets, request.notify_url.as_deref());
    let new = request.into_recharge(merchant_id, &app.channels.current(), now)?;
    if let Err(problem) = refused {
        // What was made while the address was allowed is told again.
        let client = app.database.client().await?;
        let known = recharges::find(&client, &new.pay_order.order.merchant_id, &new.number).await?;
        let known = known.filter(|known| same(known, &new)).ok_or(problem)?;
        return Ok(Json(RechargeView::new(known, app.close_grace, now)).into_response());
    }
    let (status, recharge) = match write(&app.database, &new).await? {
        Created::New => (StatusCode::CREATED, new),
        Created::Known(known) if same(&known, &new) => (StatusCode::OK, *known),
        Created::Known(known) => {
            let detail = "there is a recharge of this number with other content; take another number";
            return Err(Problem::conflict("recharge_conflict", detail)
                .member("pay_order_no", known.pay_order.order.pay_order_no.as_str())
                .into());
        }
        Created::NoAccount => {
            let currency = new.pay_order.order.amount.currency;
            let detail = format!(
                "the user {} has no account in {currency}; open it by POST /v1/accounts",
                new.user_id
            );
            return Err(Problem::not_found(detail).into());
        }
    };
    let location = format!("/v1/recharges/{}", recharge.number);
    let view = RechargeView::new(recharge, app.close_grace, now);
    Ok((status, [(LOCATION, location)], Json(view)).into_response())
}

impl NewRecharge {
    /// Checks what its types do not, and makes the recharge with its pay order, submitted to its channel.
    fn into_recharge(
        self,
        merchant_id: MerchantId,
        channels: &ChannelSet,
        now: OffsetDateTime,
    ) -> Result<Recharge, Problem> {
        if self.channel.is_balance() {
            let detail = "channel: expected a configured channel account, got balance; a balance is not recharged from one";
            return Err(unprocessable("unknown_channel", detail));
        }
        if !(1..=MAX_AMOUNT_MINOR).contains(&self.amount_minor) {
            let detail = format!("amount_minor: expected 1 to {MAX_AMOUNT_MINOR}, got {}", self.amount_minor);
            return Err(Problem::invalid(detail));
        }
        let pay_order_no = PayOrderNo::new(now, rand::random());
        let pay_order = NewPayOrder {
            order_no: OrderNo::of_recharge(&pay_order_no),
            amount_minor: self.amount_minor,
            currency: self.currency,
            channel: self.channel,
            subject: self.subject,
            attach: self.attach,
            notify_url: self.notify_url,
            expires_in_seconds: self.expires_in_seconds,
            purpose: Purpose::Recharge,
        };
        let pay_order = pay_order.into_pay_order(pay_order_no, merchant_id, channels, now)?;
        Ok(Recharge { number: self.recharge_no, user_id: self.user_id, pay_order })
    }
}

/// Whether both came from the same request.
fn same(known: &Recharge, new: &Recharge) -> bool {
    known.user_id == new.user_id && same_content(&known.pay_order, &new.pay_order)
}

async fn write(database: &Database, new: &Recharge) -> Result<Created, Error> {
    database.transaction(|tx| Box::pin(async move { write_in(&tx, new).await })).await
}

async fn write_in(tx: &Transaction<'_>, new: &Recharge) -> Result<Created, Error> {
    let order = &new.pay_order.order;
    let user = UserKey { merchant_id: order.merchant_id.clone(), user_id: new.user_id.clone() };
    if ledger::balance(tx, &user.account(order.amount.currency)).await?.is_none() {
        return Ok(Created::NoAccount);
    }
    if recharges::insert(tx, new).await? {
        new_pay_orders::insert(tx, std::slice::from_ref(&new.pay_order)).await?;
        return Ok(Created::New);
    }
    // If it was just being made, that was waited for: now it is seen.
    let known = recharges::find(tx, &order.merchant_id, &new.number).await?;
    Ok(Created::Known(Box::new(known.expect("the recharge that has the number"))))
}
