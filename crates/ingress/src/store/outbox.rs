//! The outbox: which events the broker has not confirmed yet.

use events::{EventId, PayOrderNo};
use sha2::{Digest, Sha256};
use storage::{Client, Error, GenericClient, Transaction};
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use crate::facts::NewEvent;

/// Which slots a relay reads: those whose remainder by `shards` is `shard`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shard {
    pub(crate) shard: i16,
    pub(crate) shards: i16,
}

/// An event to be published.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    /// The id of the outbox row; grows with every commit of the same pay order.
    pub(crate) id: i64,
    pub(crate) event_id: EventId,
    /// Its name, which is its routing key.
    pub(crate) event_type: String,
    pub(crate) pay_order_no: String,
    pub(crate) occurred_at: OffsetDateTime,
    pub(crate) traceparent: String,
    pub(crate) tracestate: Option<String>,
    /// `pay.v1.PayEvent`
    pub(crate) payload: Vec<u8>,
    /// How often the broker returned it.
    pub(crate) attempts: i32,
}

/// How much waits in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub(crate) pending: i64,
    /// Returned by the broker at least once, and pending still.
    pub(crate) unroutable: i64,
    pub(crate) oldest: Option<OffsetDateTime>,
    /// The first that the broker has not returned: while it is the same, nothing is relayed.
    pub(crate) next: Option<i64>,
}

const INSERT: &str = "
    INSERT INTO pay.outbox_pending (slot, occurred_at, event_id)
    SELECT slot, occurred_at, event_id
    FROM UNNEST($1::smallint[], $2::timestamptz[], $3::uuid[]) WITH ORDINALITY AS n (slot, occurred_at, event_id, position)
    ORDER BY position";

/// Puts events into the outbox, in their order.
pub(crate) async fn insert(tx: &Transaction<'_>, new: &[NewEvent]) -> Result<(), Error> {
    let row = |new: &NewEvent| {
        let NewEvent { event, .. } = new;
        (slot(&event.order.pay_order_no), event.occurred_at, event.event_id.0)
    };
    insert_rows(tx, &new.iter().map(row).collect::<Vec<_>>()).await
}

/// The same for events by their slots, times and ids.
pub(super) async fn insert_rows(
    tx: &Transaction<'_>,
    rows: &[(i16, OffsetDateTime, Uuid)],
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let slots: Vec<_> = rows.iter().map(|row| row.0).collect();
    let occurred_at: Vec<_> = rows.iter().map(|row| row.1).collect();
    let ids: Vec<_> = rows.iter().map(|row| row.2).collect();
    let statement = tx.prepare_cached(INSERT).await?;
    tx.execute(&statement, &[&slots, &occurred_at, &ids]).await?;
    Ok(())
}

/// 0 to 255, the same for all events of a pay order, however many relays there are.
pub(super) fn slot(pay_order_no: &PayOrderNo) -> i16 {
    let hash: [u8; 32] = Sha256::digest(pay_order_no.as_str()).into();
    hash.first().copied().map_or(0, i16::from)
}

const DUE: &str = "
    SELECT id, attempts, occurred_at, event_id FROM pay.outbox_pending
    WHERE id > $1 AND slot % $2 = $3 AND (not_before IS NULL OR not_before <= $4)
    ORDER BY id LIMIT $5";

/// By itself, so that the times of the events are known before it begins: of the partitions, one for each day of the
/// retention, it locks all, and opens only those between the first and the last. `LIMIT 1` makes the planner look every event
/// up by its key, whatever it believes of the sizes of the tables.
pub(super) const EVENTS: &str = "
    SELECT p.id, p.attempts, p.occurred_at, p.event_id, e.type, e.pay_order_no, e.traceparent, e.tracestate, e.payload
    FROM unnest($1::bigint[], $2::integer[], $3::timestamptz[], $4::uuid[]) AS p (id, attempts, occurred_at, event_id)
    CROSS JOIN LATERAL (
        SELECT type, pay_order_no, traceparent, tracestate, payload FROM pay.events e
        WHERE e.occurred_at = p.occurred_at AND e.event_id = p.event_id AND e.occurred_at BETWEEN $5 AND $6 LIMIT 1
    ) e
    ORDER BY p.id";

/// Up to `limit` pending events of a shard that are due and whose id is above `low`, by id.
pub(crate) async fn read(
    client: &Client,
    shard: Shard,
    low: i64,
    now: OffsetDateTime,
    limit: i64,
) -> Result<Vec<Pending>, Error> {
    let statement = client.prepare_cached(DUE).await?;
    let due = client.query(&statement, &[&low, &shard.shards, &shard.shard, &now, &limit]).await?;
    let ids: Vec<i64> = column(&due, "id")?;
    let attempts: Vec<i32> = column(&due, "attempts")?;
    let times: Vec<OffsetDateTime> = column(&due, "occurred_at")?;
    let event_ids: Vec<Uuid> = column(&due, "event_id")?;
    let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else { return Ok(Vec::new()) };
    let statement = client.prepare_cached(EVENTS).await?;
    let rows = client.query(&statement, &[&ids, &attempts, &times, &event_ids, first, last]).await?;
    rows.iter().map(pending).collect()
}

fn column<'a, T: FromSql<'a>>(rows: &'a [Row], name: &str) -> Result<Vec<T>, Error> {
    rows.iter().map(|row| Ok(row.try_get(name)?)).collect()
}

fn pending(row: &Row) -> Result<Pending, Error> {
    Ok(Pending {
        id: row.try_get("id")?,
        event_id: EventId(row.try_get::<_, Uuid>("event_id")?),
        event_type: row.try_get("type")?,
        pay_order_no: row.try_get("pay_order_no")?,
        occurred_at: row.try_get("occurred_at")?,
        traceparent: row.try_get("traceparent")?,
        tracestate: row.try_get("tracestate")?,
        payload: row.try_get("payload")?,
        attempts: row.try_get("attempts")?,
    })
}

/// Not flushed before it is answered: a row that comes back after a crash is published once more, and absorbed.
const DELETE: &str = "
    DELETE FROM pay.outbox_pending
    WHERE id = ANY($1) AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'";

/// Removes what the broker has confirmed.
pub(crate) async fn delete(client: &Client, ids: &[i64]) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let statement = client.prepare_cached(DELETE).await?;
    client.execute(&statement, &[&ids]).await?;
    Ok(())
}

const POSTPONE: &str = "
    UPDATE pay.outbox_pending o SET attempts = o.attempts + 1, not_before = n.not_before
    FROM UNNEST($1::bigint[], $2::timestamptz[]) AS n (id, not_before)
    WHERE o.id = n.id";

/// Counts a returned publish and says when to try again, by id.
pub(crate) async fn postpone(client: &Client, returned: &[(i64, OffsetDateTime)]) -> Result<(), Error> {
    if returned.is_empty() {
        return Ok(());
    }
    let (ids, not_before): (Vec<_>, Vec<_>) = returned.iter().copied().unzip();
    let statement = client.prepare_cached(POSTPONE).await?;
    client.execute(&statement, &[&ids, &not_before]).await?;
    Ok(())
}

const BACKLOG: &str =
    "SELECT count(*), count(*) FILTER (WHERE attempts > 0), min(occurred_at), min(id) FILTER (WHERE attempts = 0)
     FROM pay.outbox_pending";

/// Counts the outbox.
pub(crate) async fn backlog(client: &Client) -> Result<Backlog, Error> {
    let statement = client.prepare_cached(BACKLOG).await?;
    let row = client.query_one(&statement, &[]).await?;
    Ok(Backlog {
        pending: row.try_get(0)?,
        unroutable: row.try_get(1)?,
        oldest: row.try_get(2)?,
        next: row.try_get(3)?,
    })
}
