//! What operators ask for: the trace of an order, the audit of a window, what is parked, and what of it contradicts.

mod contradictions;

use admin_api::audit::{AuditReport, EventsQuery, Page, Window};
use admin_api::limit::Listing;
use admin_api::trace::Trace;
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use events::OrderNo;
use runtime::ApiError;
use service::extract::{Json, Path, Query};
use storage::Database;
use time::OffsetDateTime;

use crate::store::parked::Parked;
use crate::store::{self, parked, trace};

/// `/admin/trace/{order_no}`, `/admin/audit`, `/admin/audit/events`, `/admin/parked`, `/admin/contradictions`. They take their token from the listener.
pub(crate) fn router(database: Database) -> Router {
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
) -> Result<Json<Trace>, ApiError> {
    let steps = trace::steps(&database, &order_no).await?;
    Ok(Json(Trace { steps }))
}

async fn audit(
    State(database): State<Database>,
    Query(window): Query<Window>,
) -> Result<Json<AuditReport>, ApiError> {
    let span = window.span(OffsetDateTime::now_utc())?;
    Ok(Json(store::audit::report(&database.client().await?, span).await?))
}

async fn audit_events(
    State(database): State<Database>,
    Query(wanted): Query<EventsQuery>,
) -> Result<Json<Page>, ApiError> {
    wanted.span()?;
    Ok(Json(store::audit::events(&database.client().await?, &wanted).await?))
}

async fn parked(
    State(database): State<Database>,
    Query(listing): Query<Listing>,
) -> Result<Json<Vec<Parked>>, ApiError> {
    Ok(Json(parked::list(&database, listing.limit.get()).await?))
}
