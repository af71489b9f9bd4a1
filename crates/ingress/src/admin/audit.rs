//! `GET /admin/audit?from&to` and `GET /admin/audit/events?from&to&type&after&stage`

use std::sync::Arc;

use axum::extract::State;
use events::audit::{InvalidSpan, Page, Report, Wanted, Window};
use service::Problem;
use service::extract::{Json, Query};
use time::OffsetDateTime;

use crate::app::{App, unavailable};
use crate::store;

/// What was committed in the window, and what of it was published, by minute.
pub(super) async fn report(
    State(app): State<Arc<App>>,
    Query(window): Query<Window>,
) -> Result<Json<Report>, Problem> {
    let span = window.span(OffsetDateTime::now_utc()).map_err(|error| invalid(&error))?;
    let client = app.database.client().await.map_err(unavailable)?;
    Ok(Json(store::audit::report(&client, span).await.map_err(unavailable)?))
}

/// The events themselves.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Page>, Problem> {
    wanted.span().map_err(|error| invalid(&error))?;
    let client = app.database.client().await.map_err(unavailable)?;
    Ok(Json(store::audit::events(&client, &wanted).await.map_err(unavailable)?))
}

fn invalid(error: &InvalidSpan) -> Problem {
    Problem::bad_request("invalid_query", error.to_string())
}
