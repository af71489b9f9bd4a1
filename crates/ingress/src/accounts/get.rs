//! `GET /v1/accounts/{user_id}` and `GET /v1/accounts/{user_id}/flows?limit&cursor`

use std::cmp::Reverse;
use std::sync::Arc;

use admin_api::limit::Limit;
use axum::extract::State;
use events::{Currency, PayOrderNo, UserId};
use futures_util::future::try_join_all;
use ledger::{AccountFlow, Balance};
use runtime::ApiError;
use serde::{Deserialize, Serialize};
use service::Problem;
use service::extract::{Json, Path, Query};
use storage::Client;
use time::OffsetDateTime;

use crate::api_keys::Caller;
use crate::state::App;
use crate::store::users::{self, User, UserKey};

/// A user and what is on its accounts.
#[derive(Debug, Serialize)]
pub(crate) struct UserView {
    user_id: UserId,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// By currency.
    balances: Vec<BalanceView>,
}

/// What is on one account.
#[derive(Debug, Serialize)]
pub(super) struct BalanceView {
    currency: Currency,
    balance_minor: i64,
    #[serde(with = "time::serde::rfc3339")]
    opened_at: OffsetDateTime,
}

impl From<Balance> for BalanceView {
    fn from(held: Balance) -> Self {
        let Balance { currency, balance_minor, opened_at } = held;
        Self { currency, balance_minor, opened_at }
    }
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(merchant_id): Caller,
    Path(user_id): Path<UserId>,
) -> Result<Json<UserView>, ApiError> {
    let user = UserKey { merchant_id, user_id };
    let client = app.database.client().await?;
    let found = find(&client, &user).await?;
    let held = balances(&client, &user).await?;
    let balances = held.into_iter().map(BalanceView::from).collect();
    Ok(Json(UserView { user_id: user.user_id, created_at: found.created_at, balances }))
}

#[derive(Debug, Deserialize)]
pub(crate) struct FlowsQuery {
    #[serde(default)]
    limit: Limit,
    /// What the page before says as `next_cursor`.
    cursor: Option<i64>,
}

/// Flows of all accounts of a user, the latest first.
#[derive(Debug, Serialize)]
pub(crate) struct FlowsView {
    flows: Vec<FlowView>,
    /// For the page after this one, if there is more.
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct FlowView {
    #[serde(skip)]
    flow_id: i64,
    trans_no: String,
    kind: &'static str,
    pay_order_no: PayOrderNo,
    currency: Currency,
    /// What was added, below zero taken.
    amount_minor: i64,
    /// What the account held afterwards.
    balance_minor: Option<i64>,
    #[serde(with = "time::serde::rfc3339")]
    occurred_at: OffsetDateTime,
}

impl FlowView {
    fn new(flow: AccountFlow, currency: Currency) -> Self {
        Self {
            flow_id: flow.flow_id,
            trans_no: flow.trans_no,
            kind: flow.kind.as_str(),
            pay_order_no: flow.pay_order_no,
            currency,
            amount_minor: flow.amount_minor,
            balance_minor: flow.balance_minor,
            occurred_at: flow.occurred_at,
        }
    }
}

pub(crate) async fn flows(
    State(app): State<Arc<App>>,
    Caller(merchant_id): Caller,
    Path(user_id): Path<UserId>,
    Query(wanted): Query<FlowsQuery>,
) -> Result<Json<FlowsView>, ApiError> {
    let FlowsQuery { limit, cursor } = wanted;
    let user = UserKey { merchant_id, user_id };
    let client = app.database.client().await?;
    find(&client, &user).await?;
    let held = balances(&client, &user).await?;
    // One more than wanted of each account: enough to know whether anything is left.
    let most = limit.get() + 1;
    let of_account = held.into_iter().map(async |Balance { currency, .. }| {
        let flows = ledger::flows(&client, &user.account(currency), cursor, most).await?;
        Ok::<_, storage::Error>(flows.into_iter().map(move |flow| FlowView::new(flow, currency)))
    });
    let flows = try_join_all(of_account).await?;
    Ok(Json(page(flows.into_iter().flatten().collect(), limit)))
}

/// The latest of them.
fn page(mut flows: Vec<FlowView>, limit: Limit) -> FlowsView {
    let limit = limit.as_usize();
    flows.sort_unstable_by_key(|flow| Reverse(flow.flow_id));
    let more = flows.len() > limit;
    flows.truncate(limit);
    let next_cursor = flows.last().filter(|_| more).map(|last| last.flow_id.to_string());
    FlowsView { flows, next_cursor }
}

async fn find(client: &Client, user: &UserKey) -> Result<User, ApiError> {
    let found = users::find(client, user, OffsetDateTime::now_utc()).await?;
    Ok(found.ok_or_else(|| Problem::not_found("there is no such user"))?)
}

async fn balances(client: &Client, user: &UserKey) -> Result<Vec<Balance>, ApiError> {
    Ok(ledger::balances(client, &user.owner()).await?)
}
