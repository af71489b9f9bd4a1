//! Dead letters, and what the audit asks for.

use events::EventId;
use events::audit::{Entry, Report, Stage};
use serde::Serialize;
use storage::{Error, GenericClient};
use time::{Duration, OffsetDateTime};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{parsed, query};

/// A dead letter as it was written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parked {
    /// Where it came from.
    pub queue: String,
    /// Its message id, or a digest of its body.
    pub message_key: String,
    /// Why, a word.
    pub reason: String,
    /// Why, in words.
    pub detail: String,
    /// How often it was handled in vain.
    pub attempts: i32,
    /// Its event, if it could be read.
    pub event_id: Option<Uuid>,
    /// What happened.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// Whose order.
    pub merchant_id: Option<String>,
    /// Which order.
    pub order_no: Option<String>,
    /// When it was dead-lettered.
    #[serde(with = "time::serde::rfc3339")]
    pub parked_at: OffsetDateTime,
}

const PARKED: &str = "
SELECT queue, message_key, reason, detail, attempts, event_id, event_type, merchant_id, order_no, parked_at
FROM notify.parked ORDER BY parked_at DESC LIMIT $1";

/// The newest dead letters.
pub async fn parked(client: &impl GenericClient, limit: i64) -> Result<Vec<Parked>, Error> {
    let rows = query(client, PARKED, &[&limit]).await?;
    let parked = |row: &Row| {
        Ok(Parked {
            queue: row.try_get("queue")?,
            message_key: row.try_get("message_key")?,
            reason: row.try_get("reason")?,
            detail: row.try_get("detail")?,
            attempts: row.try_get("attempts")?,
            event_id: row.try_get("event_id")?,
            event_type: row.try_get("event_type")?,
            merchant_id: row.try_get("merchant_id")?,
            order_no: row.try_get("order_no")?,
            parked_at: row.try_get("parked_at")?,
        })
    };
    rows.iter().map(parked).collect()
}

/// A dead letter that was replayed and then handled counts as handled only.
const AUDIT: &str = "
SELECT h.event_id, h.occurred_at, h.event_type, h.upstream,
    CASE WHEN h.outcome = 'duplicate' THEN 'duplicate' ELSE coalesce(n.status, 'PENDING') END AS stage
FROM notify.handled h
LEFT JOIN notify.notifications n ON n.event_id = h.event_id
WHERE h.occurred_at >= $1 AND h.occurred_at < $2
UNION ALL
SELECT DISTINCT ON (p.event_id) p.event_id, p.occurred_at, p.event_type, p.upstream, 'PARKED'
FROM notify.parked p
WHERE p.occurred_at >= $1 AND p.occurred_at < $2 AND p.event_id IS NOT NULL AND p.event_type IS NOT NULL
  AND NOT EXISTS (
    SELECT FROM notify.handled h WHERE h.occurred_at = p.occurred_at AND h.event_id = p.event_id)";
/// What is read at once. Divides the hour, so that no minute falls into two parts.
const AUDIT_PART: Duration = Duration::minutes(10);

/// What is known of the events of a window, by their own time.
pub async fn audit(
    client: &impl GenericClient,
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> Result<Report, Error> {
    let mut report = Report { from, to, buckets: Vec::new() };
    let mut start = from;
    while start < to {
        let end = end_of_part(start).min(to);
        let rows = query(client, AUDIT, &[&start, &end]).await?;
        let entries: Vec<Entry> = rows.iter().map(entry).collect::<Result<_, Error>>()?;
        report.buckets.extend(Report::new(start, end, entries).buckets);
        start = end;
    }
    Ok(report)
}

fn end_of_part(start: OffsetDateTime) -> OffsetDateTime {
    let part = AUDIT_PART.whole_seconds();
    let into = start.unix_timestamp().rem_euclid(part);
    start + Duration::seconds(part - into) - Duration::nanoseconds(start.nanosecond().into())
}

fn entry(row: &Row) -> Result<Entry, Error> {
    let stage = match row.try_get("stage")? {
        "duplicate" => Stage::Duplicate,
        "DELIVERED" => Stage::Notified,
        "PARKED" => Stage::Parked,
        _ => Stage::Pending,
    };
    Ok(Entry {
        event_id: EventId(row.try_get("event_id")?),
        occurred_at: row.try_get("occurred_at")?,
        event_type: parsed(row, "event_type")?,
        stage,
        upstream: row.try_get("upstream")?,
    })
}
