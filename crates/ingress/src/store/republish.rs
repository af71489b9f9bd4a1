//! Events that go into the outbox once more.

use std::collections::HashSet;

use admin_api::republish::{Committed, Republished};
use events::{EventId, PayOrderNo};
use storage::{Error, GenericClient, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Parsed, outbox};

/// As the relay looks its events up: in the partitions of their own days, each by its key.
const FOUND: &str = "
    SELECT n.occurred_at, n.event_id, e.pay_order_no
    FROM unnest($1::timestamptz[], $2::uuid[]) AS n (occurred_at, event_id)
    CROSS JOIN LATERAL (
        SELECT pay_order_no FROM pay.events e
        WHERE e.occurred_at = n.occurred_at AND e.event_id = n.event_id AND e.occurred_at BETWEEN $3 AND $4 LIMIT 1
    ) e
    ORDER BY n.occurred_at, n.event_id";

const WAITING: &str = "SELECT event_id FROM pay.outbox_pending WHERE event_id = ANY($1)";

/// What of the events was put into the outbox, with the pay orders that they are of.
#[derive(Debug, Default)]
pub(crate) struct Queued {
    pub(crate) events: Vec<(EventId, PayOrderNo)>,
    pub(crate) answer: Republished,
}

/// Puts events into the outbox in the order of their times, but for those that wait there.
pub(crate) async fn queue(tx: &Transaction<'_>, wanted: &[Committed]) -> Result<Queued, Error> {
    let (times, ids): (Vec<OffsetDateTime>, Vec<Uuid>) =
        wanted.iter().map(|event| (event.occurred_at, event.event_id.0)).unzip();
    let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else {
        return Ok(Queued::default());
    };
    let statement = tx.prepare_cached(FOUND).await?;
    let found = tx.query(&statement, &[&times, &ids, first, last]).await?;
    let statement = tx.prepare_cached(WAITING).await?;
    let waiting = tx.query(&statement, &[&ids]).await?;
    let waiting: HashSet<Uuid> = waiting.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let mut unknown: HashSet<Uuid> = ids.into_iter().collect();
    let mut queued = Queued::default();
    let mut rows = Vec::new();
    for row in &found {
        let id: Uuid = row.try_get("event_id")?;
        // An event that was asked for twice is known no more at its second time.
        if !unknown.remove(&id) {
            continue;
        }
        if waiting.contains(&id) {
            queued.answer.waiting += 1;
            continue;
        }
        let pay_order_no = row.try_get::<_, Parsed<PayOrderNo>>("pay_order_no")?.0;
        rows.push((outbox::slot(&pay_order_no), row.try_get("occurred_at")?, id));
        queued.events.push((EventId(id), pay_order_no));
    }
    outbox::insert_rows(tx, &rows).await?;
    queued.answer.queued = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    queued.answer.unknown = unknown.into_iter().map(EventId).collect();
    queued.answer.unknown.sort_unstable();
    Ok(queued)
}
