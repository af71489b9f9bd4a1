//! `orders.parked`: what was dead-lettered, and why.

use serde::Serialize;
use storage::{Database, Error};
use time::{Duration, OffsetDateTime};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Origin, without_nul};

const INSERT: &str = "
    INSERT INTO orders.parked (queue, message_id, reason, detail, attempts, first_seen, upstream, traceparent,
        type, merchant_id, order_no, pay_order_no, event_id, occurred_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    ON CONFLICT (message_id, queue, reason) DO UPDATE
    SET detail = excluded.detail, attempts = excluded.attempts, parked_at = now()";

/// What was handled after all is parked no longer.
const LIST: &str = "
    SELECT p.queue, p.message_id, p.reason, p.detail, p.attempts, p.first_seen, p.upstream, p.traceparent, p.type,
        p.merchant_id, p.order_no, p.pay_order_no, p.event_id, p.occurred_at, p.parked_at
    FROM orders.parked p
    WHERE NOT EXISTS (SELECT FROM orders.handled h
                      WHERE h.occurred_at = p.occurred_at AND h.event_id = p.event_id)
    ORDER BY p.parked_at DESC
    LIMIT $1";

/// Rows per statement: short transactions, so that vacuum keeps up.
const PRUNE_BATCH: u64 = 1000;
const PRUNE: &str = "
    DELETE FROM orders.parked WHERE (message_id, queue, reason) IN (
        SELECT message_id, queue, reason FROM orders.parked
        WHERE parked_at < $1
            AND CASE WHEN reason IN ('second_payment', 'order_closed') THEN resolved_at < $1 ELSE true END
        ORDER BY parked_at LIMIT 1000)";

/// A message that was dead-lettered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parked {
    /// The queue that it came from.
    pub queue: String,
    /// Its `message_id`.
    pub message_id: String,
    /// The stable reason.
    pub reason: String,
    /// The particulars.
    pub detail: String,
    /// How often it was tried.
    pub attempts: i32,
    /// When it was first seen here.
    #[serde(with = "time::serde::rfc3339")]
    pub first_seen: OffsetDateTime,
    /// How it came.
    #[serde(flatten)]
    pub origin: Origin,
    /// What it says, as far as it could be decoded.
    #[serde(flatten)]
    pub subject: Subject,
    /// When it was parked.
    #[serde(with = "time::serde::rfc3339")]
    pub parked_at: OffsetDateTime,
}

/// Whom a dead-lettered message is about. Nothing is known of what could not be decoded, the event's own fields are
/// missing in a bare order number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The type of the event.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// The merchant.
    pub merchant_id: Option<String>,
    /// The order.
    pub order_no: Option<String>,
    /// The pay order.
    pub pay_order_no: Option<String>,
    /// The event.
    pub event_id: Option<Uuid>,
    /// When it occurred.
    #[serde(with = "time::serde::rfc3339::option")]
    pub occurred_at: Option<OffsetDateTime>,
}

/// Records a dead letter. One that was replayed and comes again has its newest detail, and counts as parked just now.
pub async fn insert(database: &Database, parked: &Parked) -> Result<(), Error> {
    let client = database.client().await?;
    let insert = client.prepare_cached(INSERT).await?;
    let subject = &parked.subject;
    client
        .execute(
            &insert,
            &[
                &parked.queue,
                &without_nul(&parked.message_id),
                &parked.reason,
                &without_nul(&parked.detail),
                &parked.attempts,
                &parked.first_seen,
                &parked.origin.upstream,
                &parked.origin.traceparent,
                &subject.event_type,
                &subject.merchant_id,
                &subject.order_no,
                &subject.pay_order_no,
                &subject.event_id,
                &subject.occurred_at,
            ],
        )
        .await?;
    Ok(())
}

/// What is parked, the newest first.
pub async fn list(database: &Database, limit: i64) -> Result<Vec<Parked>, Error> {
    let client = database.client().await?;
    let list = client.prepare_cached(LIST).await?;
    client.query(&list, &[&limit]).await?.iter().map(parked).collect()
}

/// Forgets what was parked longer ago than the retention; a contradiction only if it was resolved as long ago. Answers how
/// many.
pub async fn prune(database: &Database, now: OffsetDateTime, retention_days: u16) -> Result<u64, Error> {
    let oldest = now - Duration::days(retention_days.into());
    let client = database.client().await?;
    let mut pruned = 0;
    loop {
        let batch = client.execute(PRUNE, &[&oldest]).await?;
        pruned += batch;
        if batch < PRUNE_BATCH {
            return Ok(pruned);
        }
    }
}

fn parked(row: &Row) -> Result<Parked, Error> {
    Ok(Parked {
        queue: row.try_get("queue")?,
        message_id: row.try_get("message_id")?,
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
        attempts: row.try_get("attempts")?,
        first_seen: row.try_get("first_seen")?,
        origin: Origin { upstream: row.try_get("upstream")?, traceparent: row.try_get("traceparent")? },
        subject: Subject {
            event_type: row.try_get("type")?,
            merchant_id: row.try_get("merchant_id")?,
            order_no: row.try_get("order_no")?,
            pay_order_no: row.try_get("pay_order_no")?,
            event_id: row.try_get("event_id")?,
            occurred_at: row.try_get("occurred_at")?,
        },
        parked_at: row.try_get("parked_at")?,
    })
}
