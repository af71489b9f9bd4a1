//! What the consumers write for a batch of events, in one transaction.

use std::collections::HashMap;

use events::{EventId, EventKey, MerchantId, PayEvent};
use storage::{Error, Transaction};
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

use super::leases::{LEASE, no_lower_version_pending};
use super::{execute, ladder, millis, parsed, query};
use crate::{Ack, Format, Ladder};

/// Where a merchant gets its webhooks, as an attempt needs it.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Its address, if it has one.
    pub url: Option<String>,
    /// How it acknowledges.
    pub ack: Ack,
    /// Its own delays.
    pub ladder: Option<Ladder>,
    /// What attempts send.
    pub format: Format,
    /// Its keys, under the master key.
    pub sealed_keyring: Vec<u8>,
}

const DESTINATIONS: &str = "
SELECT merchant_id, url, ack, ladder_ms, format, coalesce(keyring, secret) AS keyring
FROM notify.endpoints WHERE merchant_id = ANY($1::text[])";

/// Those of the merchants that have an endpoint, with an address or without.
pub async fn destinations(
    tx: &Transaction<'_>,
    merchants: &[&MerchantId],
) -> Result<HashMap<MerchantId, Destination>, Error> {
    let merchants: Vec<&str> = merchants.iter().map(|merchant| merchant.as_str()).collect();
    query(tx, DESTINATIONS, &[&merchants]).await?.iter().map(destination).collect()
}

fn destination(row: &Row) -> Result<(MerchantId, Destination), Error> {
    let destination = Destination {
        url: row.try_get("url")?,
        ack: parsed(row, "ack")?,
        ladder: ladder(row)?,
        format: parsed(row, "format")?,
        sealed_keyring: row.try_get("keyring")?,
    };
    Ok((parsed(row, "merchant_id")?, destination))
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
    /// Whether a lease is to be taken with it, if it may be sent at once. At most one of a pay order, its lowest version.
    pub lease: bool,
}

/// A lease is taken under the conditions of a claim: nothing keeps the notification from being sent, no lower version of its
/// pay order is pending, and the merchant's breaker is not open. `OFFSET 0` has them looked up once for each row, and not
/// wherever `leased` stands.
const INSERT_NOTIFICATIONS: &str = concat!(
    "
INSERT INTO notify.notifications (notification_id, event_id, merchant_id, order_no, pay_order_no, event_type, seq,
    version, occurred_at, url, body, traceparent, status, reason, finished_at, lease_token, lease_until)
SELECT n.notification_id, n.event_id, n.merchant_id, n.order_no, n.pay_order_no, n.event_type, n.seq, n.version,
    n.occurred_at, n.url, n.body, n.traceparent, CASE WHEN hold IS NULL THEN 'PENDING' ELSE 'PARKED' END, hold,
    CASE WHEN hold IS NOT NULL THEN now() END, CASE WHEN leased THEN $14::uuid END,
    CASE WHEN leased THEN now() + $15::bigint * interval '1 millisecond' END
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
        $8::bigint[], $9::timestamptz[], $10::text[], $11::bytea[], $12::text[], $13::boolean[])
    AS n (notification_id, event_id, merchant_id, order_no, pay_order_no, event_type, seq, version, occurred_at, url,
        body, traceparent, lease)
JOIN notify.endpoints e ON e.merchant_id = n.merchant_id
CROSS JOIN LATERAL notify.hold_reason(e, n.url) AS hold
CROSS JOIN LATERAL (
    SELECT n.lease AND hold IS NULL
        AND (SELECT true FROM notify.breakers b
             WHERE b.merchant_id = n.merchant_id AND b.opened_at IS NOT NULL LIMIT 1) IS NULL
        AND ",
    no_lower_version_pending!(),
    "
    OFFSET 0
) AS sending (leased)
ORDER BY n.order_no, n.merchant_id, n.pay_order_no, n.event_type, n.seq
ON CONFLICT ON CONSTRAINT notifications_event_key DO NOTHING
RETURNING notification_id, lease_until"
);

/// Makes the notifications whose event keys are new, leased under `lease_token` where that is asked for and possible. No two
/// of `new` may share a key.
pub async fn insert_notifications(
    tx: &Transaction<'_>,
    new: &[NewNotification<'_>],
    lease_token: Uuid,
) -> Result<HashMap<Uuid, Option<OffsetDateTime>>, Error> {
    let ids: Vec<Uuid> = new.iter().map(|n| n.notification_id).collect();
    let event_ids: Vec<Uuid> = new.iter().map(|n| n.event.event_id.0).collect();
    let Keys { merchants, orders, pay_orders, types, seqs } = Keys::of(new.iter().map(|n| n.key));
    let versions: Vec<i64> = new.iter().map(|n| n.event.order.version).collect();
    let times: Vec<OffsetDateTime> = new.iter().map(|n| n.event.occurred_at).collect();
    let urls: Vec<Option<&str>> = new.iter().map(|n| n.event.order.notify_url.as_deref()).collect();
    let bodies: Vec<&[u8]> = new.iter().map(|n| n.body).collect();
    let traces: Vec<Option<&str>> = new.iter().map(|n| n.traceparent).collect();
    let leases: Vec<bool> = new.iter().map(|n| n.lease).collect();
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
            &leases,
            &lease_token,
            &millis(LEASE),
        ],
    )
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

const TELLING: &str = "
SELECT key.event_id, n.notification_id
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[])
    AS key (event_id, merchant_id, order_no, pay_order_no, event_type, seq)
JOIN notify.notifications n USING (merchant_id, order_no, pay_order_no, event_type, seq)";

/// The notifications that tell of events whose keys are known already, by event id.
pub async fn notification_ids(
    tx: &Transaction<'_>,
    events: &[(EventId, &EventKey)],
) -> Result<HashMap<EventId, Uuid>, Error> {
    if events.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<Uuid> = events.iter().map(|(id, _)| id.0).collect();
    let Keys { merchants, orders, pay_orders, types, seqs } = Keys::of(events.iter().map(|(_, key)| *key));
    let rows = query(tx, TELLING, &[&ids, &merchants, &orders, &pay_orders, &types, &seqs]).await?;
    rows.iter().map(|row| Ok((EventId(row.try_get(0)?), row.try_get(1)?))).collect()
}

/// Event keys, by column.
#[derive(Default)]
struct Keys<'a> {
    merchants: Vec<&'a str>,
    orders: Vec<&'a str>,
    pay_orders: Vec<&'a str>,
    types: Vec<&'a str>,
    seqs: Vec<i64>,
}

impl<'a> Keys<'a> {
    fn of(keys: impl Iterator<Item = &'a EventKey>) -> Self {
        let mut columns = Self::default();
        for key in keys {
            columns.merchants.push(key.merchant_id.as_str());
            columns.orders.push(key.order_no.as_str());
            columns.pay_orders.push(key.pay_order_no.as_str());
            columns.types.push(key.event_type.as_str());
            columns.seqs.push(key.seq);
        }
        columns
    }
}

/// An event with what became of it.
#[derive(Debug)]
pub struct Handled<'a> {
    /// The event.
    pub event: &'a PayEvent,
    /// The notification that tells of it.
    pub notification_id: Option<Uuid>,
    /// Whether it made that notification; else another event with its key had done so.
    pub applied: bool,
    /// Whether another publisher than the ingress made it.
    pub upstream: bool,
}

macro_rules! insert_handled {
    ($only:literal, $repeated:literal) => {
        concat!(
            "
INSERT INTO notify.handled (occurred_at, event_id, event_type, merchant_id, order_no, outcome, upstream, notification_id)
SELECT occurred_at, event_id, event_type, merchant_id, order_no,
    CASE WHEN applied THEN 'applied' ELSE 'duplicate' END, upstream, notification_id
FROM unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::boolean[], $8::uuid[])
    AS h (occurred_at, event_id, event_type, merchant_id, order_no, applied, upstream, notification_id)
",
            $only,
            "ORDER BY occurred_at, event_id, applied DESC",
            $repeated
        )
    };
}

/// Takes half the time of the careful one, in which every row asks the catalog for its day, and looks for itself twice.
const INSERT_HANDLED_NEW: &str = insert_handled!("", "");

/// Events of a day that has no partition any more are not logged; what guards against them is the event key.
const INSERT_HANDLED: &str = insert_handled!(
    "WHERE to_regclass('notify.handled_p' || to_char(occurred_at AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL
",
    " ON CONFLICT DO NOTHING"
);

/// Logs what was handled. An event that comes again keeps its first outcome. Without `careful` the server rejects all of them
/// if one was logged before, or belongs to a day without a partition.
pub async fn insert_handled(
    tx: &Transaction<'_>,
    handled: &[Handled<'_>],
    careful: bool,
) -> Result<(), Error> {
    let times: Vec<OffsetDateTime> = handled.iter().map(|h| h.event.occurred_at).collect();
    let ids: Vec<Uuid> = handled.iter().map(|h| h.event.event_id.0).collect();
    let types: Vec<&str> = handled.iter().map(|h| h.event.event_type.as_str()).collect();
    let merchants: Vec<&str> = handled.iter().map(|h| h.event.order.merchant_id.as_str()).collect();
    let orders: Vec<&str> = handled.iter().map(|h| h.event.order.order_no.as_str()).collect();
    let applied: Vec<bool> = handled.iter().map(|h| h.applied).collect();
    let upstream: Vec<bool> = handled.iter().map(|h| h.upstream).collect();
    let notification_ids: Vec<Option<Uuid>> = handled.iter().map(|h| h.notification_id).collect();
    let insert = if careful { INSERT_HANDLED } else { INSERT_HANDLED_NEW };
    execute(tx, insert, &[&times, &ids, &types, &merchants, &orders, &applied, &upstream, &notification_ids])
        .await?;
    Ok(())
}
