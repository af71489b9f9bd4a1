//! Claiming due notifications under a fenced lease.

use std::time::{Duration, Instant};

use events::{MerchantId, OrderNo, PayOrderNo};
use storage::{Error, GenericClient};
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{execute, ladder, millis, parsed, query};
use crate::{Ack, Format, Ladder};

/// How long a claim holds.
pub const LEASE: Duration = Duration::from_secs(30);
/// What must be left of a lease for an attempt to start: its longest duration, and time to record it.
pub const MIN_LEFT: Duration = Duration::from_secs(12);

/// How much may be claimed.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// In all.
    pub total: u32,
    /// Per merchant, unless named in `shares`.
    pub share: u32,
    /// Merchants that have less, or of which something was claimed lately.
    pub shares: Vec<Share>,
}

/// What may be claimed of one merchant.
#[derive(Debug, Clone)]
pub struct Share {
    /// The merchant.
    pub merchant_id: MerchantId,
    /// How many.
    pub share: u32,
    /// Only what came due after this time. What was delivered stays in the index until the next vacuum, before everything
    /// else, and would be passed by every claim.
    pub after: Option<OffsetDateTime>,
}

/// A notification under our lease.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The `webhook-id`.
    pub notification_id: Uuid,
    /// Fences what is recorded: a lease that was taken over has another token.
    pub lease_token: Uuid,
    /// Taken before the claim was sent, so that the lease lasts longer than we believe, not shorter.
    pub claimed_at: Instant,
    /// When the lease ends, by the database's clock. A breaker knows its probe by it.
    pub lease_until: OffsetDateTime,
    /// The merchant.
    pub merchant_id: MerchantId,
    /// When it came due.
    pub due_at: OffsetDateTime,
    /// For the log.
    pub order_no: OrderNo,
    /// For the log.
    pub pay_order_no: PayOrderNo,
    /// Where to.
    pub url: String,
    /// Whether `url` is the pay order's own instead of the endpoint's.
    pub own_url: bool,
    /// How the merchant acknowledges.
    pub ack: Ack,
    /// The endpoint's own delays.
    pub ladder: Option<Ladder>,
    /// What an attempt sends.
    pub format: Format,
    /// The endpoint's keys, under the master key.
    pub sealed_keyring: Vec<u8>,
    /// What to send, in the format `standard`.
    pub body: Vec<u8>,
    /// The trace.
    pub traceparent: Option<String>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Which attempt of the present ladder it is, from 1.
    pub ladder_attempt: u32,
}

impl Claimed {
    /// Whether enough of the lease is left for an attempt.
    pub fn may_start(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.claimed_at) + MIN_LEFT <= LEASE
    }

    /// When the lease ends, by our clock.
    pub fn expires_at(&self) -> Instant {
        self.claimed_at + LEASE
    }
}

/// Whether no lower version of the pay order of `n` is pending: one look at the event keys of its order.
macro_rules! no_lower_version_pending {
    () => {
        "(SELECT true FROM notify.notifications lower
          WHERE lower.order_no = n.order_no AND lower.merchant_id || '' = n.merchant_id
            AND lower.pay_order_no = n.pay_order_no AND lower.version < n.version
            AND lower.status || '' = 'PENDING' LIMIT 1) IS NULL"
    };
}
pub(super) use no_lower_version_pending;

/// Each merchant gives its longest due ones, at most its share; the merchants take turns. A version waits for lower
/// ones. Only what is taken is locked, for a lock writes the row.
///
/// The texts joined with nothing keep plans from the index of the queue where a row is looked up by its key: a plan made
/// while the queue was short would go on searching all of it when it is long.
///
/// Of a merchant with an open breaker nothing is looked at until a probe is due, and then one is taken: the breaker's row is
/// locked, looked at again, and moved to the end of the probe's lease, so that no other replica probes meanwhile, nor for
/// longer if this one dies. A claim never waits for a lock, so it may take the breaker's before the notification's.
const CLAIM: &str = concat!(
    "
WITH room AS (SELECT * FROM unnest($1::text[], $2::bigint[], $7::timestamptz[]) AS room (merchant_id, share, after)),
candidates AS MATERIALIZED (
    SELECT due.notification_id, e.merchant_id, e.format, coalesce(e.keyring, e.secret) AS keyring, e.ack, e.ladder_ms, e.url AS endpoint_url,
        breaker.merchant_id IS NOT NULL AS probe,
        row_number() OVER (PARTITION BY e.merchant_id ORDER BY due.next_attempt_at) AS turn
    FROM notify.endpoints e
    LEFT JOIN room ON room.merchant_id = e.merchant_id
    LEFT JOIN notify.breakers breaker ON breaker.merchant_id = e.merchant_id AND breaker.opened_at IS NOT NULL
    CROSS JOIN LATERAL (
        SELECT n.notification_id, n.next_attempt_at
        FROM notify.notifications n
        WHERE n.merchant_id = e.merchant_id AND n.status = 'PENDING' AND n.next_attempt_at <= now()
          AND n.next_attempt_at > coalesce(room.after, '-infinity')
          AND (n.lease_until IS NULL OR n.lease_until < now())
          AND coalesce(n.url, e.url) IS NOT NULL
          AND ",
    no_lower_version_pending!(),
    "
        ORDER BY n.next_attempt_at
        LIMIT least(coalesce(room.share, $3),
            CASE WHEN breaker.probe_at > now() THEN 0 WHEN breaker.probe_at <= now() THEN 1 END)
    ) due
    WHERE e.enabled
    ORDER BY turn
    LIMIT $4
), probing AS MATERIALIZED (
    SELECT merchant_id FROM notify.breakers
    WHERE merchant_id IN (SELECT merchant_id FROM candidates WHERE probe) AND probe_at <= now()
    FOR UPDATE SKIP LOCKED
), locked AS (
    SELECT n.notification_id FROM notify.notifications n
    WHERE n.notification_id = ANY (ARRAY(
        SELECT notification_id FROM candidates WHERE NOT probe OR merchant_id IN (SELECT merchant_id FROM probing)))
      -- Once more, on the row as it is now: another replica may just have recorded a failure.
      AND n.status || '' = 'PENDING' AND n.next_attempt_at <= now()
      AND (n.lease_until IS NULL OR n.lease_until < now())
    FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE notify.notifications n
    SET lease_token = $5, lease_until = now() + $6::bigint * interval '1 millisecond'
    FROM candidates c JOIN locked USING (notification_id)
    WHERE n.notification_id = c.notification_id
    RETURNING n.notification_id, n.merchant_id, n.order_no, n.pay_order_no, coalesce(n.url, c.endpoint_url) AS url,
        n.url IS NOT NULL AS own_url, n.body, n.traceparent, n.attempts, n.attempts - n.ladder_start AS climbed,
        n.next_attempt_at, n.lease_until, c.format, c.keyring, c.ack, c.ladder_ms, c.probe
), moved AS (
    UPDATE notify.breakers b SET probe_at = taken.lease_until
    FROM taken WHERE taken.probe AND b.merchant_id = taken.merchant_id
)
SELECT * FROM taken"
);

/// Claims what is due, as far as there is room. One short statement: whoever claims at the same time gets others. A row that cannot
/// be read is left out, and logged: it waits until its lease ends, and takes none of the others along.
pub async fn claim(client: &impl GenericClient, room: &Room) -> Result<Vec<Claimed>, Error> {
    let merchants: Vec<&str> = room.shares.iter().map(|share| share.merchant_id.as_str()).collect();
    let shares: Vec<i64> = room.shares.iter().map(|share| i64::from(share.share)).collect();
    let after: Vec<_> = room.shares.iter().map(|share| share.after).collect();
    let (lease_token, claimed_at) = (Uuid::new_v4(), Instant::now());
    let (share, total) = (i64::from(room.share), i64::from(room.total));
    let rows =
        query(client, CLAIM, &[&merchants, &shares, &share, &total, &lease_token, &millis(LEASE), &after])
            .await?;
    let readable = |row: &Row| match claimed(row, lease_token, claimed_at) {
        Ok(claimed) => Some(claimed),
        Err(error) => {
            let notification_id: Option<Uuid> = row.try_get("notification_id").ok();
            tracing::error!(%error, ?notification_id, "a claimed notification cannot be read, and is not sent");
            None
        }
    };
    Ok(rows.iter().filter_map(readable).collect())
}

fn claimed(row: &Row, lease_token: Uuid, claimed_at: Instant) -> Result<Claimed, Error> {
    let following = |made: i32| u32::try_from(made).map(|made| made + 1).map_err(Error::rejected);
    Ok(Claimed {
        notification_id: row.try_get("notification_id")?,
        lease_token,
        claimed_at,
        lease_until: row.try_get("lease_until")?,
        merchant_id: parsed(row, "merchant_id")?,
        due_at: row.try_get("next_attempt_at")?,
        order_no: parsed(row, "order_no")?,
        pay_order_no: parsed(row, "pay_order_no")?,
        url: row.try_get("url")?,
        own_url: row.try_get("own_url")?,
        ack: parsed(row, "ack")?,
        ladder: ladder(row)?,
        format: parsed(row, "format")?,
        sealed_keyring: row.try_get("keyring")?,
        body: row.try_get("body")?,
        traceparent: row.try_get("traceparent")?,
        attempt: following(row.try_get("attempts")?)?,
        ladder_attempt: following(row.try_get("climbed")?)?,
    })
}

const RELEASE: &str = "
WITH released AS (
    UPDATE notify.notifications SET lease_token = NULL, lease_until = NULL
    WHERE notification_id = ANY($1::uuid[]) AND lease_token = $2
    RETURNING merchant_id
)
UPDATE notify.breakers b SET probe_at = now()
FROM (SELECT DISTINCT merchant_id FROM released) r WHERE b.merchant_id = r.merchant_id AND b.probe_at = $3";

/// Gives back what was claimed and not started. All of `claimed` are of one claim.
pub async fn release(client: &impl GenericClient, claimed: &[Claimed]) -> Result<(), Error> {
    let Some(first) = claimed.first() else { return Ok(()) };
    let ids: Vec<Uuid> = claimed.iter().map(|claimed| claimed.notification_id).collect();
    execute(client, RELEASE, &[&ids, &first.lease_token, &first.lease_until]).await?;
    Ok(())
}
