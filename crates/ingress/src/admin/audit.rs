//! `GET /admin/audit?from&to` and `GET /admin/audit/events?from&to&type&after&stage`

use std::sync::Arc;

use admin_api::audit::{AuditReport, EventsQuery, Page, Window};
use axum::extract::State;
use runtime::ApiError;
use service::extract::{Json, Query};
use time::OffsetDateTime;

use crate::state::App;
use crate::store;

/// What was committed in the window, and what of it was published, by minute.
pub(super) async fn report(
    State(app): State<Arc<App>>,
    Query(window): Query<Window>,
) -> Result<Json<AuditReport>, ApiError> {
    let span = window.span(OffsetDateTime::now_utc())?;
    let client = app.database.client().await?;
    Ok(Json(store::audit::report(&client, span).await?))
}

/// The events themselves.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    Query(wanted): Query<EventsQuery>,
) -> Result<Json<Page>, ApiError> {
    wanted.span()?;
    let client = app.database.client().await?;
    Ok(Json(store::audit::events(&client, &wanted).await?))
}
