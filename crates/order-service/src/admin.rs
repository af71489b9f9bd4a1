//! What operators ask for: the trace of an order, the audit of a window, what is parked.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use events::{OrderNo, audit::Report, trace::Trace};
use serde::Deserialize;
use service::Problem;
use service::extract::{Json, Path, Query};
use storage::Database;
use time::{Duration, OffsetDateTime, Time, UtcOffset};

use crate::failure::Failure;
use crate::store::parked::Parked;
use crate::store::{handled, parked, trace};

/// The longest window of one audit, as long as the ingress takes.
const MAX_AUDIT: Duration = Duration::days(31);
const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1_000;

/// `/admin/trace/{order_no}`, `/admin/audit`, `/admin/parked`. They take their token from the listener.
pub fn router(database: Database) -> Router {
    Router::new()
        .route("/admin/trace/{order_no}", get(trace))
        .route("/admin/audit", get(audit))
        .route("/admin/parked", get(parked))
        .with_state(database)
}

async fn trace(
    State(database): State<Database>,
    Path(order_no): Path<OrderNo>,
) -> Result<Json<Trace>, Failure> {
    let steps = trace::steps(&database, &order_no).await?;
    Ok(Json(Trace { steps }))
}

/// The window of the events' own time, `from` inclusive, `to` exclusive; by default the last 24 hours.
#[derive(Debug, Deserialize)]
struct Window {
    #[serde(default, with = "time::serde::rfc3339::option")]
    from: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    to: Option<OffsetDateTime>,
}

/// Reads hour by hour, so that memory is bounded by the events of an hour.
async fn audit(
    State(database): State<Database>,
    Query(window): Query<Window>,
) -> Result<Json<Report>, Failure> {
    let to = window.to.unwrap_or_else(OffsetDateTime::now_utc).to_offset(UtcOffset::UTC);
    let from = window.from.unwrap_or(to - Duration::days(1)).to_offset(UtcOffset::UTC);
    if from > to || to - from > MAX_AUDIT {
        let detail = format!("from, to: expected a window of at most {MAX_AUDIT}, got {from} to {to}");
        return Err(Problem::invalid(detail).into());
    }
    let mut report = Report { from, to, buckets: Vec::new() };
    let mut start = from;
    while start < to {
        let end = next_hour(start).min(to);
        let entries = handled::audit(&database, start, end).await?;
        report.buckets.extend(Report::new(start, end, entries).buckets);
        start = end;
    }
    Ok(Json(report))
}

fn next_hour(time: OffsetDateTime) -> OffsetDateTime {
    let hour = Time::from_hms(time.hour(), 0, 0).map_or(time, |start| time.replace_time(start));
    hour + Duration::hours(1)
}

#[derive(Debug, Deserialize)]
struct Page {
    limit: Option<i64>,
}

async fn parked(
    State(database): State<Database>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<Parked>>, Failure> {
    let limit = page.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    Ok(Json(parked::list(&database, limit).await?))
}
