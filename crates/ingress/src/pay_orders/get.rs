//! `GET /v1/pay-orders/{pay_order_no}` and `GET /v1/pay-orders?order_no=`, with `?wait_seconds=N`

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use events::{MerchantId, OrderNo, PayOrderNo};
use runtime::ApiError;
use serde::Deserialize;
use service::Problem;
use service::extract::{Json, Path, Query};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until};

use super::not_found;
use super::view::PayOrderView;
use crate::api_keys::Caller;
use crate::state::App;
use crate::store::pay_orders::{self, StoredPayOrder, Wanted};

const MAX_WAIT_SECONDS: u64 = 30;
/// How often a long poll looks by itself: another replica's commit wakes nobody here.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, Deserialize)]
pub(crate) struct ByNumber {
    #[serde(default)]
    wait_seconds: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ByOrder {
    order_no: OrderNo,
    #[serde(default)]
    wait_seconds: u64,
}

pub(crate) async fn get_by_number(
    State(app): State<Arc<App>>,
    Caller(merchant_id): Caller,
    Path(number): Path<PayOrderNo>,
    Query(query): Query<ByNumber>,
) -> Result<Json<PayOrderView>, ApiError> {
    answer(&app, &merchant_id, &Wanted::PayOrder(number), query.wait_seconds).await
}

pub(crate) async fn get_by_order(
    State(app): State<Arc<App>>,
    Caller(merchant_id): Caller,
    Query(query): Query<ByOrder>,
) -> Result<Json<PayOrderView>, ApiError> {
    answer(&app, &merchant_id, &Wanted::Order(query.order_no), query.wait_seconds).await
}

async fn answer(
    app: &App,
    merchant_id: &MerchantId,
    wanted: &Wanted,
    wait_seconds: u64,
) -> Result<Json<PayOrderView>, ApiError> {
    if wait_seconds > MAX_WAIT_SECONDS {
        let detail = format!("wait_seconds: expected 0 to {MAX_WAIT_SECONDS}, got {wait_seconds}");
        return Err(Problem::bad_request("invalid_query", detail).into());
    }
    let deadline = Instant::now() + Duration::from_secs(wait_seconds);
    let mut stored = find(app, merchant_id, wanted).await?;
    if wait_seconds > 0 && !stored.order.status.is_final() {
        stored = wait(app, stored, deadline).await?;
    }
    Ok(Json(PayOrderView::new(stored, app.close_grace, OffsetDateTime::now_utc())))
}

/// The pay order as soon as its status is final, or as it is at the deadline.
async fn wait(app: &App, stored: StoredPayOrder, deadline: Instant) -> Result<StoredPayOrder, ApiError> {
    let (merchant_id, number) = (stored.order.merchant_id, stored.order.pay_order_no);
    let wanted = Wanted::PayOrder(number.clone());
    // Watched before it is read again, so that no change falls between.
    let mut watched = app.signals.watch_pay_order(&number);
    loop {
        let stored = find(app, &merchant_id, &wanted).await?;
        if stored.order.status.is_final() || Instant::now() >= deadline || app.draining.is_cancelled() {
            return Ok(stored);
        }
        tokio::select! {
            () = watched.changed() => {}
            () = app.draining.cancelled() => {}
            () = sleep_until(deadline.min(Instant::now() + POLL_INTERVAL)) => {}
        }
    }
}

async fn find(app: &App, merchant_id: &MerchantId, wanted: &Wanted) -> Result<StoredPayOrder, ApiError> {
    let client = app.database.client().await?;
    let found = pay_orders::find(&client, merchant_id, wanted).await?;
    Ok(found.ok_or_else(not_found)?)
}
