//! What operators ask for: the trace of an order, the audit of a window, what is parked, and what of it contradicts.

mod contradictions;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use events::OrderNo;
use events::audit::{Page, Report, Wanted, Window};
use events::trace::Trace;
use serde::Deserialize;
use service::Problem;
use service::extract::{Json, Path, Query};
use storage::Database;
use time::OffsetDateTime;

use crate::failure::Failure;
use crate::store::parked::Parked;
use crate::store::{self, parked, trace};

const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1_000;

/// `/admin/trace/{order_no}`, `/admin/audit`, `/admin/audit/events`, `/admin/parked`, `/admin/contradictions`. They take their token from the listener.
pub fn router(database: Database) -> Router {
    Router::new()
        .route("/admin/trace/{order_no}", get(trace))
        .route("/admin/audit", get(audit))
        .route("/admin/audit/events", get(audit_events))
        .route("/admin/parked", get(parked))
        .route("/admin/contradictions", get(contradictions::list))
        .route("/admin/contradictions/{contradiction_id}", get(contradictions::show))
        .route("/admin/contradictions/{contradiction_id}/resolve", post(contradictions::resolve))
        .with_state(database)
}

async fn trace(
    State(database): State<Database>,
    Path(order_no): Path<OrderNo>,
) -> Result<Json<Trace>, Failure> {
    let steps = trace::steps(&database, &order_no).await?;
    Ok(Json(Trace { steps }))
}

async fn audit(
    State(database): State<Database>,
    Query(window): Query<Window>,
) -> Result<Json<Report>, Failure> {
    let span = window.span(OffsetDateTime::now_utc()).map_err(|error| Problem::invalid(error.to_string()))?;
    Ok(Json(store::audit::report(&database.client().await?, span).await?))
}

async fn audit_events(
    State(database): State<Database>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Page>, Failure> {
    wanted.span().map_err(|error| Problem::invalid(error.to_string()))?;
    Ok(Json(store::audit::events(&database.client().await?, &wanted).await?))
}

#[derive(Debug, Deserialize)]
struct Limit {
    limit: Option<i64>,
}

async fn parked(
    State(database): State<Database>,
    Query(given): Query<Limit>,
) -> Result<Json<Vec<Parked>>, Failure> {
    let limit = given.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    Ok(Json(parked::list(&database, limit).await?))
}
