//! Merchants and the hashes of their API keys.

use events::MerchantId;
use storage::{Client, Database, Error, Transaction};
use time::OffsetDateTime;
use tokio_postgres::Row;

use super::Parsed;

/// A merchant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Merchant {
    pub(crate) id: MerchantId,
    pub(crate) name: Option<String>,
    /// Whether its API key is taken.
    pub(crate) enabled: bool,
    pub(crate) created_at: OffsetDateTime,
}

/// What is to be put; `None` leaves what is there.
#[derive(Debug, Clone)]
pub(crate) struct Put<'a> {
    pub(crate) merchant_id: &'a MerchantId,
    pub(crate) name: Option<&'a str>,
    pub(crate) enabled: Option<bool>,
    /// The hash of the key that a new merchant gets.
    pub(crate) api_key_sha256: &'a [u8; 32],
}

const PUT: &str = "
    INSERT INTO pay.merchants AS m (merchant_id, name, enabled, api_key_sha256, created_at)
    VALUES ($1, $2, coalesce($3, true), $4, $5)
    ON CONFLICT (merchant_id) DO UPDATE
    SET name = coalesce(excluded.name, m.name), enabled = coalesce($3, m.enabled)
    RETURNING merchant_id, name, enabled, created_at, (xmax = 0) AS is_new";

/// Makes the merchant or changes it; true if it is new, and so has the key of `put`.
pub(crate) async fn put(
    client: &Client,
    put: &Put<'_>,
    now: OffsetDateTime,
) -> Result<(Merchant, bool), Error> {
    let statement = client.prepare_cached(PUT).await?;
    let hash = put.api_key_sha256.as_slice();
    let row = client
        .query_one(&statement, &[&put.merchant_id.as_str(), &put.name, &put.enabled, &hash, &now])
        .await?;
    Ok((merchant(&row)?, row.try_get("is_new")?))
}

const BY_KEY: &str = "
    SELECT merchant_id, name, enabled, created_at FROM pay.merchants WHERE api_key_sha256 = $1
    UNION ALL
    SELECT m.merchant_id, m.name, m.enabled, m.created_at
    FROM pay.rotated_api_keys k JOIN pay.merchants m ON m.merchant_id = k.merchant_id
    WHERE k.api_key_sha256 = $1 AND k.valid_until > $2
    LIMIT 1";

/// The merchant whose API key has this hash, or had it and may still use it at `now`.
pub(crate) async fn find_by_key(
    client: &Client,
    api_key_sha256: &[u8; 32],
    now: OffsetDateTime,
) -> Result<Option<Merchant>, Error> {
    let statement = client.prepare_cached(BY_KEY).await?;
    let row = client.query_opt(&statement, &[&api_key_sha256.as_slice(), &now]).await?;
    row.as_ref().map(merchant).transpose()
}

/// A new key for a merchant.
#[derive(Debug, Clone)]
pub(crate) struct Rotation<'a> {
    pub(crate) merchant_id: &'a MerchantId,
    /// The hash of the new key.
    pub(crate) api_key_sha256: &'a [u8; 32],
    pub(crate) now: OffsetDateTime,
    /// Until when the earlier keys are taken, unless they end sooner already.
    pub(crate) earlier_valid_until: OffsetDateTime,
}

const LOCK_KEY: &str = "SELECT api_key_sha256 FROM pay.merchants WHERE merchant_id = $1 FOR UPDATE";
const FORGET_ENDED_KEYS: &str =
    "DELETE FROM pay.rotated_api_keys WHERE merchant_id = $1 AND valid_until <= $2";
const FORGET_ALL_ENDED_KEYS: &str = "DELETE FROM pay.rotated_api_keys WHERE valid_until <= $1";
const SHORTEN_EARLIER_KEYS: &str =
    "UPDATE pay.rotated_api_keys SET valid_until = least(valid_until, $2) WHERE merchant_id = $1";
const KEEP_KEY: &str =
    "INSERT INTO pay.rotated_api_keys (api_key_sha256, merchant_id, valid_until) VALUES ($1, $2, $3)";
const SET_KEY: &str = "
    UPDATE pay.merchants SET api_key_sha256 = $2 WHERE merchant_id = $1
    RETURNING merchant_id, name, enabled, created_at";

/// Gives the merchant a new key beside its earlier ones. `None` if there is no such merchant.
pub(crate) async fn rotate_key(
    tx: &Transaction<'_>,
    rotation: &Rotation<'_>,
) -> Result<Option<Merchant>, Error> {
    let id = rotation.merchant_id.as_str();
    let Some(row) = tx.query_opt(LOCK_KEY, &[&id]).await? else { return Ok(None) };
    let present: &[u8] = row.try_get(0)?;
    tx.execute(FORGET_ENDED_KEYS, &[&id, &rotation.now]).await?;
    tx.execute(SHORTEN_EARLIER_KEYS, &[&id, &rotation.earlier_valid_until]).await?;
    tx.execute(KEEP_KEY, &[&present, &id, &rotation.earlier_valid_until]).await?;
    let row = tx.query_one(SET_KEY, &[&id, &rotation.api_key_sha256.as_slice()]).await?;
    merchant(&row).map(Some)
}

/// Removes the keys of all merchants that are taken no longer, and says how many.
pub(crate) async fn forget_ended_keys(database: &Database, now: OffsetDateTime) -> Result<u64, Error> {
    database.client().await?.execute(FORGET_ALL_ENDED_KEYS, &[&now]).await.map_err(Error::from)
}

const LIST: &str = "
    SELECT merchant_id, name, enabled, created_at FROM pay.merchants
    WHERE $1::text IS NULL OR merchant_id = $1 ORDER BY merchant_id LIMIT $2";

/// The merchant of this id, or the first `limit` by id.
pub(crate) async fn list(
    client: &Client,
    merchant_id: Option<&MerchantId>,
    limit: i64,
) -> Result<Vec<Merchant>, Error> {
    let statement = client.prepare_cached(LIST).await?;
    let rows = client.query(&statement, &[&merchant_id.map(MerchantId::as_str), &limit]).await?;
    rows.iter().map(merchant).collect()
}

fn merchant(row: &Row) -> Result<Merchant, Error> {
    Ok(Merchant {
        id: row.try_get::<_, Parsed<MerchantId>>("merchant_id")?.0,
        name: row.try_get("name")?,
        enabled: row.try_get("enabled")?,
        created_at: row.try_get("created_at")?,
    })
}
