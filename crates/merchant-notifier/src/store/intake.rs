//! What the consumers write for a batch of events, in one transaction.

use std::collections::HashSet;

use events::{EventKey, MerchantId, PayEvent};
use storage::{Error, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{execute, query};

const KNOWN: &str = "SELECT merchant_id FROM notify.endpoints WHERE merchant_id = ANY($1::text[])";

/// Which of the merchants have an endpoint, with an address or without.
pub async fn known_merchants(
    tx: &Transaction<'_>,
    merchants: &[&MerchantId],
) -> Result<HashSet<String>, Error> {
    let merchants: Vec<&str> = merchants.iter().map(|merchant| merchant.as_str()).collect();
    let rows = query(tx, KNOWN, &[&merchants]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// A notification to be made.
#[derive(Debug)]
pub struct NewNotification<'a> {
    /// Its identity, the `webhook-id`.
    pub notification_id: Uuid,
    /// The key of its event.
    pub key: &'a EventKey,
    /// Its event.
    pub event: &'a PayEvent,
    /// What every attempt sends.
    pub body: &'a [u8],
    /// The trace that the event belongs to.
    pub traceparent: Option<&'a str>,
}

const INSERT_NOTIFICATIONS: &str = "
INSERT INTO notify.notifications (notification_id, event_id, merchant_id, order_no, pay_order_no, event_type, seq,
    version, occurred_at, url, body, traceparent, status, reason, finished_at)
SELECT n.*, CASE WHEN hold IS NULL THEN 'PENDING' ELSE 'PARKED' END, hold, CASE WHEN hold IS NOT NULL THEN now() END
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
        $8::bigint[], $9::timestamptz[], $10::text[], $11::bytea[], $12::text[])
    AS n (notification_id, event_id, merchant_id, order_no, pay_order_no, event_type, seq, version, occurred_at, url,
        body, traceparent)
JOIN notify.endpoints e ON e.merchant_id = n.merchant_id
CROSS JOIN LATERAL notify.hold_reason(e, n.url) AS hold
ORDER BY n.merchant_id, n.order_no, n.pay_order_no, n.event_type, n.seq
ON CONFLICT ON CONSTRAINT notifications_event_key DO NOTHING
RETURNING notification_id";

/// Makes the notifications whose event keys are new, and returns their ids. No two of `new` may share a key.
pub async fn insert_notifications(
    tx: &Transaction<'_>,
    new: &[NewNotification<'_>],
) -> Result<HashSet<Uuid>, Error> {
    let ids: Vec<Uuid> = new.iter().map(|n| n.notification_id).collect();
    let event_ids: Vec<Uuid> = new.iter().map(|n| n.event.event_id.0).collect();
    let merchants: Vec<&str> = new.iter().map(|n| n.key.merchant_id.as_str()).collect();
    let orders: Vec<&str> = new.iter().map(|n| n.key.order_no.as_str()).collect();
    let pay_orders: Vec<&str> = new.iter().map(|n| n.key.pay_order_no.as_str()).collect();
    let types: Vec<&str> = new.iter().map(|n| n.key.event_type.as_str()).collect();
    let seqs: Vec<i64> = new.iter().map(|n| n.key.seq).collect();
    let versions: Vec<i64> = new.iter().map(|n| n.event.order.version).collect();
    let times: Vec<OffsetDateTime> = new.iter().map(|n| n.event.occurred_at).collect();
    let urls: Vec<Option<&str>> = new.iter().map(|n| n.event.order.notify_url.as_deref()).collect();
    let bodies: Vec<&[u8]> = new.iter().map(|n| n.body).collect();
    let traces: Vec<Option<&str>> = new.iter().map(|n| n.traceparent).collect();
    let rows = query(
        tx,
        INSERT_NOTIFICATIONS,
        &[
            &ids,
            &event_ids,
            &merchants,
            &orders,
            &pay_orders,
            &types,
            &seqs,
            &versions,
            &times,
            &urls,
            &bodies,
            &traces,
        ],
    )
    .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// An event with what became of it.
#[derive(Debug)]
pub struct Handled<'a> {
    /// The event.
    pub event: &'a PayEvent,
    /// Whether it made a notification; else another event with its key had done so.
    pub applied: bool,
    /// Whether another publisher than the ingress made it.
    pub upstream: bool,
}

/// Events of a day that has no partition any more are not logged; what guards against them is the event key.
const INSERT_HANDLED: &str = "
INSERT INTO notify.handled (occurred_at, event_id, event_type, merchant_id, order_no, outcome, upstream)
SELECT occurred_at, event_id, event_type, merchant_id, order_no,
    CASE WHEN applied THEN 'applied' ELSE 'duplicate' END, upstream
FROM unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::boolean[])
    AS h (occurred_at, event_id, event_type, merchant_id, order_no, applied, upstream)
WHERE to_regclass('notify.handled_p' || to_char(occurred_at AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL
ORDER BY occurred_at, event_id, applied DESC
ON CONFLICT DO NOTHING";

/// Logs what was handled. An event that comes again keeps its first outcome.
pub async fn insert_handled(tx: &Transaction<'_>, handled: &[Handled<'_>]) -> Result<(), Error> {
    let times: Vec<OffsetDateTime> = handled.iter().map(|h| h.event.occurred_at).collect();
    let ids: Vec<Uuid> = handled.iter().map(|h| h.event.event_id.0).collect();
    let types: Vec<&str> = handled.iter().map(|h| h.event.event_type.as_str()).collect();
    let merchants: Vec<&str> = handled.iter().map(|h| h.event.order.merchant_id.as_str()).collect();
    let orders: Vec<&str> = handled.iter().map(|h| h.event.order.order_no.as_str()).collect();
    let applied: Vec<bool> = handled.iter().map(|h| h.applied).collect();
    let upstream: Vec<bool> = handled.iter().map(|h| h.upstream).collect();
    execute(tx, INSERT_HANDLED, &[&times, &ids, &types, &merchants, &orders, &applied, &upstream]).await?;
    Ok(())
}
