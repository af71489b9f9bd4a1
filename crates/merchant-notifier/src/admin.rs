//! `/admin/…`: endpoints to put and see, and what the notifier knows of notifications, orders and windows of time. Bodies are JSON,
//! errors problem documents.
//!
//! | request | does |
//! |---|---|
//! | `GET /admin/endpoints` | all endpoints |
//! | `GET /admin/endpoints/{merchant_id}` | one; no secret of it is told again |
//! | `PUT /admin/endpoints/{merchant_id}` | makes or changes it: `url`, `enabled`, `ack`, `format`, `signature`, `encryption`, `ladder`, each kept if left out; tells keys that are new, once |
//! | `POST /admin/endpoints/{merchant_id}/rotate-secret` | replaces `key` (`signing`, or `encryption`), tells the new one once; `overlap_seconds` (a day) for which earlier secrets sign beside it; 409 `too_many_secrets`; `replace_last` ends the last one alone, if nobody was told it |
//! | `GET /admin/notifications`, `…/{notification_id}` | notifications, and one with its attempts |
//! | `GET /admin/notifications/retryable`, `POST …/retry` | what a retry would find, and the retry |
//! | `GET /admin/parked`, `…/trace/{order_no}`, `…/audit`, `…/audit/events` | dead letters, the steps of an order, and where events stand |

mod endpoints;
mod keys;
mod notifications;
mod view;

use std::sync::Arc;

use admin_api::audit::{AuditReport, EventsQuery, Page, Window};
use admin_api::limit::Listing;
use admin_api::trace::Trace;
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post, put};
use events::OrderNo;
use runtime::ApiError;
use service::extract::{Json, Path, Query};
use storage::Database;
use time::OffsetDateTime;
use tokio::sync::Notify;

use crate::secrets::Vault;
use crate::ssrf::TargetPolicy;
use crate::store::{audit, listings, trace};

/// What the routes work with.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where everything is.
    pub database: Database,
    /// Refuses URLs that would never be called.
    pub policy: Arc<TargetPolicy>,
    /// Seals new keys.
    pub vault: Vault,
    /// Wakes the dispatcher when notifications are resumed.
    pub wake: Arc<Notify>,
}

/// The routes, without the token that protects them.
pub fn routes(admin: Admin) -> Router {
    Router::new()
        .route("/admin/endpoints", get(endpoints::list))
        .route("/admin/endpoints/{merchant_id}", put(endpoints::put).get(endpoints::show))
        .route("/admin/endpoints/{merchant_id}/rotate-secret", post(keys::rotate))
        .route("/admin/notifications", get(notifications::list))
        .route("/admin/notifications/{notification_id}", get(notifications::show))
        .route("/admin/notifications/retryable", get(notifications::retryable))
        .route("/admin/notifications/retry", post(notifications::retry))
        .route("/admin/parked", get(parked))
        .route("/admin/trace/{order_no}", get(trace_order))
        .route("/admin/audit", get(audit_report))
        .route("/admin/audit/events", get(audit_events))
        .with_state(admin)
}

async fn parked(
    State(admin): State<Admin>,
    Query(listing): Query<Listing>,
) -> Result<Json<Vec<listings::Parked>>, ApiError> {
    let client = admin.database.client().await?;
    Ok(Json(listings::parked(&client, listing.limit.get()).await?))
}

async fn trace_order(
    State(admin): State<Admin>,
    Path(order_no): Path<OrderNo>,
) -> Result<Json<Trace>, ApiError> {
    let client = admin.database.client().await?;
    let steps = trace::trace(&client, order_no.as_str()).await?;
    Ok(Json(Trace { steps }))
}

async fn audit_report(
    State(admin): State<Admin>,
    Query(window): Query<Window>,
) -> Result<Json<AuditReport>, ApiError> {
    let span = window.span(OffsetDateTime::now_utc())?;
    let client = admin.database.client().await?;
    Ok(Json(audit::report(&client, span).await?))
}

async fn audit_events(
    State(admin): State<Admin>,
    Query(wanted): Query<EventsQuery>,
) -> Result<Json<Page>, ApiError> {
    wanted.span()?;
    let client = admin.database.client().await?;
    Ok(Json(audit::events(&client, &wanted).await?))
}
