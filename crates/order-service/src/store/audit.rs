//! Where the events of a window stand: handled, or parked and not handled since.

use admin_api::audit::{AuditReport, Bucket, Entry, EventsQuery, Page, Span, Stage};
use admin_api::digest::IdSetDigest;
use events::EventId;
use storage::{Error, GenericClient, id_digest};
use time::Duration;
use tokio_postgres::Row;

use super::parsed;

/// What one statement sums up at most, so that none runs into its timeout.
const PIECE: Duration = Duration::HOUR;

/// What is parked counts only while it has not been handled after all, and once however often it was parked. A scalar
/// subquery is one look into the index for each, where `NOT EXISTS` may read the whole log.
macro_rules! parked {
    ($columns:literal, $more:literal) => {
        concat!(
            "SELECT DISTINCT ON (p.occurred_at, p.event_id) p.occurred_at, p.event_id, p.type, 'parked' AS stage, p.upstream",
            $columns,
            " FROM orders.parked p
            WHERE p.occurred_at >= $1 AND p.occurred_at < $2 AND p.event_id IS NOT NULL AND p.type IS NOT NULL",
            $more,
            " AND (SELECT true FROM orders.handled h
                   WHERE h.occurred_at = p.occurred_at AND h.event_id = p.event_id LIMIT 1) IS NULL
            ORDER BY p.occurred_at, p.event_id, p.parked_at DESC"
        )
    };
}

const BUCKETS: &str = concat!(
    "SELECT date_trunc('minute', occurred_at) AS minute, type, stage, upstream, count(*) AS count, ",
    id_digest!("event_id"),
    " AS digest
    FROM (
        SELECT occurred_at, event_id, type, outcome AS stage, upstream FROM orders.handled
        WHERE occurred_at >= $1 AND occurred_at < $2
        UNION ALL
        (",
    parked!("", ""),
    ")
    ) events
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
);

/// What the events of a window sum up to.
pub async fn report(client: &impl GenericClient, span: Span) -> Result<AuditReport, Error> {
    let buckets = client.prepare_cached(BUCKETS).await?;
    let mut report = AuditReport::new(span);
    for piece in span.pieces(PIECE) {
        for row in client.query(&buckets, &[&piece.from, &piece.to]).await? {
            report.buckets.push(bucket(&row)?);
        }
    }
    Ok(report)
}

fn bucket(row: &Row) -> Result<Bucket, Error> {
    Ok(Bucket {
        minute: row.try_get("minute")?,
        event_type: parsed(row, "type")?,
        stage: parsed(row, "stage")?,
        upstream: row.try_get("upstream")?,
        count: u64::try_from(row.try_get::<_, i64>("count")?).map_err(Error::rejected)?,
        digest: IdSetDigest::from_signed_sum(parsed(row, "digest")?),
    })
}

const EVENTS: &str = concat!(
    "SELECT * FROM (
        SELECT occurred_at, event_id, type, outcome AS stage, upstream, merchant_id, order_no, pay_order_no,
            NULL AS reason, NULL AS detail, NULL AS queue, NULL::int AS attempts
        FROM orders.handled WHERE occurred_at >= $1 AND occurred_at < $2 AND type = $3
        UNION ALL
        (",
    parked!(
        ", p.merchant_id, p.order_no, p.pay_order_no, p.reason, p.detail, p.queue, p.attempts",
        " AND p.type = $3"
    ),
    ")
    ) events
    WHERE ($4::uuid IS NULL OR (occurred_at, event_id) > ($1, $4)) AND ($5::text IS NULL OR stage = $5)
    ORDER BY occurred_at, event_id LIMIT $6"
);

/// A page of the events of a window.
pub async fn events(client: &impl GenericClient, wanted: &EventsQuery) -> Result<Page, Error> {
    let events = client.prepare_cached(EVENTS).await?;
    let (event_type, stage) = (wanted.event_type.as_str(), wanted.stage.map(Stage::as_str));
    let limit = EventsQuery::PAGE + 1;
    let rows = client
        .query(&events, &[&wanted.from, &wanted.to, &event_type, &wanted.after, &stage, &limit])
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
        next_attempt_at: None,
    })
}
