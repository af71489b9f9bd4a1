//! Which events of a window were committed, and which of them the broker has confirmed.

use std::collections::HashMap;

use admin_api::audit::{AuditReport, Bucket, Entry, Eventless, EventsQuery, Page, Span, Stage};
use admin_api::digest::IdSetDigest;
use events::{EventId, EventType};
use storage::{Error, GenericClient, id_digest};
use time::{Duration, OffsetDateTime};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Parsed, recharges};

/// What one statement sums up at most, so that none runs into its timeout.
const PIECE: Duration = Duration::HOUR;
/// Callbacks without an event that one report names at most.
const MAX_EVENTLESS: usize = 1_000;

/// Sums all events of the window, and those in the outbox: what is published is the difference, and both are of one snapshot.
/// A join of the two would be at the mercy of what the planner believes of the size of the outbox; `LIMIT 1` makes it look
/// every pending event up by its key.
const BUCKETS: &str = concat!(
    "SELECT date_trunc('minute', occurred_at) AS minute, type, false AS pending, count(*) AS count, ",
    id_digest!("event_id"),
    " AS digest
    FROM pay.events WHERE occurred_at >= $1 AND occurred_at < $2
    GROUP BY 1, 2
    UNION ALL
    SELECT date_trunc('minute', p.occurred_at), e.type, true, count(*), ",
    id_digest!("p.event_id"),
    "
    FROM (SELECT occurred_at, event_id FROM pay.outbox_pending WHERE occurred_at >= $1 AND occurred_at < $2) p
    CROSS JOIN LATERAL (
        SELECT type FROM pay.events e WHERE e.occurred_at = p.occurred_at AND e.event_id = p.event_id LIMIT 1
    ) e
    GROUP BY 1, 2"
);

/// Applied callbacks and their events are written by one transaction, under the same trace. Every callback that is applied
/// makes an event: only the creation of a pay order is a transition without one. Each callback costs one look into the
/// index by pay order, in the partitions of three days.
const EVENTLESS: &str = "
    SELECT c.received_at, c.account, c.pay_order_no, o.merchant_id, o.order_no
    FROM pay.callbacks c
    LEFT JOIN LATERAL (
        SELECT merchant_id, order_no FROM pay.pay_orders o WHERE o.pay_order_no = c.pay_order_no LIMIT 1
    ) o ON true
    WHERE c.received_at >= $1 AND c.received_at < $2 AND c.outcome = 'applied'
      AND (SELECT true FROM pay.events e
           WHERE e.pay_order_no = c.pay_order_no AND e.traceparent = c.traceparent
             AND e.occurred_at > c.received_at - interval '1 day' AND e.occurred_at < c.received_at + interval '1 day'
           LIMIT 1) IS NULL
    ORDER BY c.received_at
    LIMIT $3";

/// What was committed in the window, what of it was published, and what should have been committed.
pub(crate) async fn report(client: &impl GenericClient, span: Span) -> Result<AuditReport, Error> {
    let [buckets, eventless] =
        [client.prepare_cached(BUCKETS).await?, client.prepare_cached(EVENTLESS).await?];
    let mut report = AuditReport::new(span);
    for piece in span.pieces(PIECE) {
        report.buckets.extend(by_stage(&client.query(&buckets, &[&piece.from, &piece.to]).await?)?);
        let room = i64::try_from(MAX_EVENTLESS - report.eventless.len()).expect("it is below the maximum");
        for row in client.query(&eventless, &[&piece.from, &piece.to, &room]).await? {
            report.eventless.push(without_event(&row)?);
        }
        report.recharges.extend(recharges::differing(client, piece).await?);
    }
    Ok(report)
}

fn by_stage(rows: &[Row]) -> Result<Vec<Bucket>, Error> {
    let mut sums: HashMap<(OffsetDateTime, EventType), [(u64, IdSetDigest); 2]> = HashMap::new();
    for row in rows {
        let key = (row.try_get("minute")?, row.try_get::<_, Parsed<EventType>>("type")?.0);
        let count = u64::try_from(row.try_get::<_, i64>("count")?).map_err(Error::rejected)?;
        let digest = IdSetDigest::from_signed_sum(row.try_get::<_, Parsed<i128>>("digest")?.0);
        let [all, pending] = sums.entry(key).or_default();
        *(if row.try_get("pending")? { pending } else { all }) = (count, digest);
    }
    let buckets =
        sums.into_iter().flat_map(|((minute, event_type), [all, pending])| {
            let published = (all.0.saturating_sub(pending.0), all.1.without(pending.1));
            [(Stage::Committed, pending), (Stage::Published, published)].map(|(stage, (count, digest))| {
                Bucket { minute, event_type, stage, upstream: false, count, digest }
            })
        });
    let mut buckets: Vec<_> = buckets.filter(|bucket| bucket.count > 0).collect();
    buckets.sort_by_key(|bucket| (bucket.minute, bucket.event_type, bucket.stage));
    Ok(buckets)
}

fn without_event(row: &Row) -> Result<Eventless, Error> {
    Ok(Eventless {
        received_at: row.try_get("received_at")?,
        account: row.try_get("account")?,
        pay_order_no: row.try_get("pay_order_no")?,
        merchant_id: row.try_get("merchant_id")?,
        order_no: row.try_get("order_no")?,
    })
}

const EVENTS: &str = "
    SELECT e.event_id, e.occurred_at, e.pay_order_no, o.merchant_id, o.order_no
    FROM (
        SELECT event_id, occurred_at, pay_order_no FROM pay.events
        WHERE occurred_at >= $1 AND occurred_at < $2 AND type = $3
          AND ($4::uuid IS NULL OR (occurred_at, event_id) > ($1, $4))
        ORDER BY occurred_at, event_id LIMIT $5
    ) e
    LEFT JOIN LATERAL (
        SELECT merchant_id, order_no FROM pay.pay_orders o WHERE o.pay_order_no = e.pay_order_no LIMIT 1
    ) o ON true
    ORDER BY e.occurred_at, e.event_id";

const PENDING: &str = "
    SELECT event_id, attempts, not_before FROM pay.outbox_pending WHERE occurred_at >= $1 AND occurred_at <= $2";

/// A page of the events of a window, each published unless it is in the outbox.
pub(crate) async fn events(client: &impl GenericClient, wanted: &EventsQuery) -> Result<Page, Error> {
    let event_type = wanted.event_type.as_str();
    let statement = client.prepare_cached(EVENTS).await?;
    let limit = EventsQuery::PAGE + 1;
    let rows =
        client.query(&statement, &[&wanted.from, &wanted.to, &event_type, &wanted.after, &limit]).await?;
    let entries = rows.iter().map(entry).collect::<Result<Vec<_>, Error>>()?;
    let mut page = Page::new(entries);
    // After the events: what was confirmed in between is published.
    let pending = match (page.events.first(), page.events.last()) {
        (Some(first), Some(last)) => {
            let statement = client.prepare_cached(PENDING).await?;
            client.query(&statement, &[&first.occurred_at, &last.occurred_at]).await?
        }
        _ => Vec::new(),
    };
    let mut by_id = HashMap::new();
    for row in &pending {
        by_id.insert(EventId(row.try_get::<_, Uuid>("event_id")?), row);
    }
    for event in &mut page.events {
        if let Some(row) = by_id.get(&event.event_id) {
            event.stage = Stage::Committed;
            event.attempts = row.try_get("attempts")?;
            event.next_attempt_at = row.try_get("not_before")?;
        }
    }
    Ok(page)
}

fn entry(row: &Row) -> Result<Entry, Error> {
    Ok(Entry {
        event_id: EventId(row.try_get("event_id")?),
        occurred_at: row.try_get("occurred_at")?,
        stage: Stage::Published,
        upstream: false,
        merchant_id: row.try_get("merchant_id")?,
        order_no: row.try_get("order_no")?,
        pay_order_no: row.try_get("pay_order_no")?,
        reason: None,
        detail: None,
        queue: None,
        attempts: None,
        next_attempt_at: None,
    })
}

#[cfg(test)]
mod tests;
