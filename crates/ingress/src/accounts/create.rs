//! `POST /v1/accounts`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use events::{Currency, UserId, to_micros};
use ledger::{Account, Balance};
use runtime::ApiError;
use serde::{Deserialize, Serialize};
use service::extract::Json;
use storage::Error;
use time::OffsetDateTime;

use super::PayPassword;
use super::get::BalanceView;
use crate::api_keys::Caller;
use crate::state::App;
use crate::store::users::{self, UserKey};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAccount {
    user_id: UserId,
    pay_password: PayPassword,
    currency: Currency,
}

/// An account of a user.
#[derive(Debug, Serialize)]
struct AccountView {
    user_id: UserId,
    #[serde(flatten)]
    balance: BalanceView,
}

/// Makes the user, unless there is one, whose password this must be, and opens its account in the currency.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Caller(merchant_id): Caller,
    Json(request): Json<NewAccount>,
) -> Result<Response, ApiError> {
    let NewAccount { user_id, pay_password, currency } = request;
    let pay_password = pay_password.with_checked_length()?;
    let user = UserKey { merchant_id, user_id };
    if !make_user(&app, &user, &pay_password).await? {
        app.passwords.turn(&user).await?.check(&app.database, &user, &pay_password).await?;
    }
    let account = user.account(currency);
    let (is_new, opened) = open(&app, &account).await?;
    let location = format!("/v1/accounts/{}", user.user_id);
    let view = AccountView { user_id: user.user_id, balance: opened.into() };
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, [(LOCATION, location)], Json(view)).into_response())
}

/// True if the user is new; false if there was one already, or was made at the same time.
async fn make_user(app: &App, user: &UserKey, pay_password: &PayPassword) -> Result<bool, ApiError> {
    let now = to_micros(OffsetDateTime::now_utc());
    let known = {
        let client = app.database.client().await?;
        users::find(&client, user, now).await?
    };
    if known.is_some() {
        return Ok(false);
    }
    let hash = app.passwords.turn(user).await?.hash(pay_password.clone()).await?;
    let client = app.database.client().await?;
    Ok(users::insert(&client, user, &hash, now).await?)
}

/// Opens the account unless it is open; whether it is new, and what it holds.
async fn open(app: &App, account: &Account) -> Result<(bool, Balance), Error> {
    app.database
        .transaction(|tx| {
            Box::pin(async move {
                let is_new = ledger::open_account(&tx, account).await?;
                let held = ledger::balance(&*tx, account).await?;
                Ok((is_new, held.expect("the account is open")))
            })
        })
        .await
}
