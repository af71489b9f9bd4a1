//! `GET /admin/audit?from&to`

use std::sync::Arc;

use axum::extract::State;
use events::audit::Report;
use serde::Deserialize;
use service::Problem;
use service::extract::{Json, Query};
use time::{Duration, OffsetDateTime};

use crate::app::{App, unavailable};
use crate::store;

const DEFAULT_WINDOW: Duration = Duration::hours(24);
/// The widest window; wider ones are asked for piece by piece.
const MAX_WINDOW: Duration = Duration::days(31);
/// How much is held in memory at once. Whole minutes, so that no bucket is split.
const SLICE: Duration = Duration::minutes(10);

#[derive(Debug, Deserialize)]
pub(super) struct Window {
    /// Inclusive; by default a day before `to`.
    #[serde(default, with = "time::serde::rfc3339::option")]
    from: Option<OffsetDateTime>,
    /// Exclusive; by default now.
    #[serde(default, with = "time::serde::rfc3339::option")]
    to: Option<OffsetDateTime>,
}

/// What was committed in the window, and what of it was published.
pub(super) async fn report(
    State(app): State<Arc<App>>,
    Query(window): Query<Window>,
) -> Result<Json<Report>, Problem> {
    let to = window.to.unwrap_or_else(OffsetDateTime::now_utc);
    let from = window.from.unwrap_or(to - DEFAULT_WINDOW);
    if from >= to || to - from > MAX_WINDOW {
        let detail = format!("expected from before to and at most {} days between", MAX_WINDOW.whole_days());
        return Err(Problem::bad_request("invalid_query", detail));
    }
    let client = app.database.client().await.map_err(unavailable)?;
    let mut report = Report { from, to, buckets: Vec::new() };
    let mut start = from;
    while start < to {
        let end = to.min(end_of_slice(start));
        let entries = store::audit::entries(&client, start, end).await.map_err(unavailable)?;
        report.buckets.extend(Report::new(start, end, entries).buckets);
        start = end;
    }
    Ok(Json(report))
}

/// The next whole ten minutes after `start`.
fn end_of_slice(start: OffsetDateTime) -> OffsetDateTime {
    let slice = SLICE.whole_seconds();
    let next = (start.unix_timestamp().div_euclid(slice) + 1) * slice;
    OffsetDateTime::from_unix_timestamp(next).unwrap_or(start + SLICE)
}
