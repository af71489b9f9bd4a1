//! Where the events of a window stand: notified, pending, a duplicate, or parked.

use admin_api::audit::{AuditReport, Bucket, Entry, EventsQuery, Page, Span, Stage};
use admin_api::digest::IdSetDigest;
use events::EventId;
use storage::{Error, GenericClient, id_digest};
use time::Duration;
use tokio_postgres::Row;

use super::{parsed, query};

/// What one statement sums up at most, so that none runs into its timeout.
const PIECE: Duration = Duration::HOUR;

/// `LIMIT 1` makes each handled event one look into the index of notifications, of which there are all that ever were. A
/// repetition is told of by what another event of its key has made, and stands where that does until the merchant has it. An
/// event whose notification is gone is not held here, whatever the log says. What an older release logged names no
/// notification: its own is found by the order. A dead letter that was replayed and then handled counts as handled only.
macro_rules! events {
    ($type:literal) => {
        concat!(
            "SELECT h.occurred_at, h.event_id, h.event_type, h.upstream, h.merchant_id, h.order_no, n.pay_order_no,
                CASE WHEN n.status = 'PENDING' THEN 'pending' WHEN n.status = 'PARKED' THEN 'parked'
                     WHEN h.outcome = 'duplicate' THEN 'duplicate' ELSE 'notified' END AS stage,
                n.reason, NULL AS detail, NULL AS queue, n.attempts,
                CASE WHEN n.status = 'PENDING' THEN n.next_attempt_at END AS next_attempt_at
            FROM notify.handled h
            LEFT JOIN LATERAL (
                SELECT pay_order_no, status, reason, attempts, next_attempt_at FROM notify.notifications n
                WHERE n.notification_id = coalesce(h.notification_id, (
                    SELECT own.notification_id FROM notify.notifications own
                    WHERE own.order_no = h.order_no AND own.merchant_id = h.merchant_id AND own.event_id = h.event_id LIMIT 1))
                LIMIT 1
            ) n ON true
            WHERE h.occurred_at >= $1 AND h.occurred_at < $2
              AND (n.status IS NOT NULL OR h.outcome = 'duplicate' AND h.notification_id IS NULL) ",
            $type,
            " UNION ALL
            (SELECT DISTINCT ON (h.occurred_at, h.event_id) h.occurred_at, h.event_id, h.event_type, h.upstream,
                h.merchant_id, h.order_no, NULL, 'parked', h.reason, h.detail, h.queue, h.attempts, NULL
            FROM notify.parked h
            WHERE h.occurred_at >= $1 AND h.occurred_at < $2 AND h.event_id IS NOT NULL
              AND h.event_type IS NOT NULL ",
            $type,
            " AND (SELECT true FROM notify.handled known
                   WHERE known.occurred_at = h.occurred_at AND known.event_id = h.event_id LIMIT 1) IS NULL
            ORDER BY h.occurred_at, h.event_id, h.parked_at DESC)"
        )
    };
}

const BUCKETS: &str = concat!(
    "SELECT date_trunc('minute', occurred_at) AS minute, event_type, stage, upstream, count(*) AS count, ",
    id_digest!("event_id"),
    " AS digest FROM (",
    events!(""),
    ") events GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
);

/// What the events of a window sum up to.
pub async fn report(client: &impl GenericClient, span: Span) -> Result<AuditReport, Error> {
    let mut report = AuditReport::new(span);
    for piece in span.pieces(PIECE) {
        for row in query(client, BUCKETS, &[&piece.from, &piece.to]).await? {
            report.buckets.push(bucket(&row)?);
        }
    }
    Ok(report)
}

fn bucket(row: &Row) -> Result<Bucket, Error> {
    Ok(Bucket {
        minute: row.try_get("minute")?,
        event_type: parsed(row, "event_type")?,
        stage: parsed(row, "stage")?,
        upstream: row.try_get("upstream")?,
        count: u64::try_from(row.try_get::<_, i64>("count")?).map_err(Error::rejected)?,
        digest: IdSetDigest::from_signed_sum(parsed(row, "digest")?),
    })
}

const EVENTS: &str = concat!(
    "SELECT * FROM (",
    events!("AND h.event_type = $3"),
    ") events
    WHERE ($4::uuid IS NULL OR (occurred_at, event_id) > ($1, $4)) AND ($5::text IS NULL OR stage = $5)
    ORDER BY occurred_at, event_id LIMIT $6"
);

/// A page of the events of a window.
pub async fn events(client: &impl GenericClient, wanted: &EventsQuery) -> Result<Page, Error> {
    let (event_type, stage) = (wanted.event_type.as_str(), wanted.stage.map(Stage::as_str));
    let limit = EventsQuery::PAGE + 1;
    let rows = query(client, EVENTS, &[&wanted.from, &wanted.to, &event_type, &wanted.after, &stage, &limit])
        .await?;
    Ok(Page::new(rows.iter().map(entry).collect::<Result<_, _>>()?))
}

fn entry(row: &Row) -> Result<Entry, Error> {
    Ok(Entry {
        event_id: EventId(row.try_get("event_id")?),
        occurred_at: row.try_get("occurred_at")?,
        stage: parsed(row, "stage")?,
        upstream: row.try_get("upstream")?,
        merchant_id: row.try_get("merchant_id")?,
        order_no: row.try_get("order_no")?,
        pay_order_no: row.try_get("pay_order_no")?,
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
        queue: row.try_get("queue")?,
        attempts: row.try_get("attempts")?,
        next_attempt_at: row.try_get("next_attempt_at")?,
    })
}
