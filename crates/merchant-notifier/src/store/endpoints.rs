//! `notify.endpoints`, and what a change of them does to the notifications that wait for them.

use events::MerchantId;
use storage::{Error, GenericClient, Transaction};
use tokio_postgres::Row;

use super::{execute, ladder, parsed, query};
use crate::{Ack, Endpoint, EndpointChange, Format, Ladder};

const PUT: &str = "
INSERT INTO notify.endpoints AS e (merchant_id, url, enabled, ack, ladder_ms, secret, format)
VALUES ($1, $3, coalesce($4::boolean, true),
    coalesce($5::text, CASE $9::text WHEN 'form-md5' THEN 'success' ELSE 'any_2xx' END), $7::bigint[], $8,
    coalesce($9::text, 'standard'))
ON CONFLICT (merchant_id) DO UPDATE SET
    url = CASE WHEN $2::boolean THEN excluded.url ELSE e.url END,
    enabled = coalesce($4::boolean, e.enabled),
    ack = coalesce($5::text, CASE WHEN $9::text <> e.format THEN excluded.ack ELSE e.ack END),
    ladder_ms = CASE WHEN $6::boolean THEN excluded.ladder_ms ELSE e.ladder_ms END,
    format = coalesce($9::text, e.format),
    updated_at = now()
RETURNING merchant_id, url, enabled, ack, format, coalesce(keyring, secret) AS keyring, ladder_ms, created_at, updated_at,
    xmax = 0 AS made";

/// Makes or changes an endpoint. `sealed_keyring` is taken only if it is made, which the answer says. Who acknowledges by
/// another format and does not say how, does it as is usual for that.
pub async fn put(
    client: &impl GenericClient,
    merchant_id: &MerchantId,
    change: &EndpointChange,
    sealed_keyring: &[u8],
) -> Result<(Endpoint, bool), Error> {
    let url = change.url.value();
    let ack = change.ack.map(Ack::as_str);
    let ladder = change.ladder.value().map(Ladder::to_millis);
    let statement = client.prepare_cached(PUT).await?;
    let row = client
        .query_one(
            &statement,
            &[
                &merchant_id.as_str(),
                &change.url.is_change(),
                &url,
                &change.enabled,
                &ack,
                &change.ladder.is_change(),
                &ladder,
                &sealed_keyring,
                &change.format.map(Format::as_str),
            ],
        )
        .await?;
    Ok((endpoint(&row)?, row.try_get("made")?))
}

const LIST: &str = "
SELECT merchant_id, url, enabled, ack, format, coalesce(keyring, secret) AS keyring, ladder_ms, created_at, updated_at
FROM notify.endpoints WHERE $1::text IS NULL OR merchant_id = $1 ORDER BY merchant_id LIMIT 10000";

/// The endpoint of one merchant, or all of them (at most 10,000) by merchant.
pub async fn list(
    client: &impl GenericClient,
    merchant_id: Option<&MerchantId>,
) -> Result<Vec<Endpoint>, Error> {
    let merchant_id = merchant_id.map(MerchantId::as_str);
    query(client, LIST, &[&merchant_id]).await?.iter().map(endpoint).collect()
}

const LOCKED: &str = "
SELECT merchant_id, url, enabled, ack, format, coalesce(keyring, secret) AS keyring, ladder_ms, created_at, updated_at
FROM notify.endpoints WHERE merchant_id = $1 FOR UPDATE";

/// An endpoint that nobody else can change until the transaction ends.
pub async fn locked(tx: &Transaction<'_>, merchant_id: &MerchantId) -> Result<Option<Endpoint>, Error> {
    query(tx, LOCKED, &[&merchant_id.as_str()]).await?.first().map(endpoint).transpose()
}

const REKEY: &str =
    "UPDATE notify.endpoints SET keyring = $2, secret = $3, updated_at = now() WHERE merchant_id = $1";

/// Gives an endpoint other keys, sealed: all of them, and the one secret that an older release may use.
pub async fn rekey(
    tx: &Transaction<'_>,
    merchant_id: &MerchantId,
    sealed_keyring: &[u8],
    sealed_secret: &[u8],
) -> Result<(), Error> {
    execute(tx, REKEY, &[&merchant_id.as_str(), &sealed_keyring, &sealed_secret]).await?;
    Ok(())
}

const ANY_KEYRING: &str =
    "SELECT merchant_id, coalesce(keyring, secret) AS keyring FROM notify.endpoints LIMIT 1";

/// The sealed keys of one endpoint or another.
pub async fn any_keyring(client: &impl GenericClient) -> Result<Option<(MerchantId, Vec<u8>)>, Error> {
    let rows = query(client, ANY_KEYRING, &[]).await?;
    rows.first().map(|row| Ok((parsed(row, "merchant_id")?, row.try_get("keyring")?))).transpose()
}

fn endpoint(row: &Row) -> Result<Endpoint, Error> {
    Ok(Endpoint {
        merchant_id: parsed(row, "merchant_id")?,
        url: row.try_get("url")?,
        enabled: row.try_get("enabled")?,
        ack: parsed(row, "ack")?,
        format: parsed(row, "format")?,
        sealed_keyring: row.try_get("keyring")?,
        ladder: ladder(row)?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

const DISABLE: &str = "UPDATE notify.endpoints SET enabled = false, updated_at = now() WHERE merchant_id = $1 AND url = $2 AND enabled";

/// Turns an endpoint off, unless its address has changed since `url` was called.
pub async fn disable(
    client: &impl GenericClient,
    merchant_id: &MerchantId,
    url: &str,
) -> Result<bool, Error> {
    Ok(execute(client, DISABLE, &[&merchant_id.as_str(), &url]).await? > 0)
}

/// Rows per statement: one merchant may have so many that a single statement would run into its timeout, again and again.
const BATCH: u64 = 10_000;

const RESUME: &str = "
WITH waiting AS (
    SELECT n.notification_id
    FROM notify.notifications n JOIN notify.endpoints e ON e.merchant_id = n.merchant_id
    WHERE n.status = 'PARKED' AND n.reason IN ('no_endpoint', 'endpoint_disabled') AND e.enabled
      AND notify.hold_reason(e, n.url) IS NULL
    LIMIT 10000
    FOR UPDATE OF n SKIP LOCKED
)
UPDATE notify.notifications n SET status = 'PENDING', reason = NULL, next_attempt_at = now(), finished_at = NULL
FROM waiting WHERE n.notification_id = waiting.notification_id";

const HOLD: &str = "
WITH held AS (
    SELECT n.notification_id, notify.hold_reason(e, n.url) AS reason
    FROM notify.notifications n JOIN notify.endpoints e ON e.merchant_id = n.merchant_id
    WHERE n.status = 'PENDING' AND (NOT e.enabled OR e.url IS NULL)
      AND (n.lease_until IS NULL OR n.lease_until < now())
      AND notify.hold_reason(e, n.url) IS NOT NULL
    LIMIT 10000
    FOR UPDATE OF n SKIP LOCKED
)
UPDATE notify.notifications n
SET status = 'PARKED', reason = held.reason, lease_token = NULL, lease_until = NULL, finished_at = now()
FROM held WHERE n.notification_id = held.notification_id";

/// Brings notifications in step with their endpoints: resumes those that waited for one, parks those that lost theirs.
/// Returns how many it resumed. Rows that somebody else has locked are left to him, or to the next time.
///
/// It is run after each change and now and then besides. So nobody locks an endpoint's row, which would be the hottest
/// one of all, only to be sure that it does not change while a notification is made.
pub async fn settle(client: &impl GenericClient) -> Result<u64, Error> {
    while execute(client, HOLD, &[]).await? == BATCH {}
    let mut resumed = 0;
    loop {
        let batch = execute(client, RESUME, &[]).await?;
        resumed += batch;
        if batch < BATCH {
            return Ok(resumed);
        }
    }
}
