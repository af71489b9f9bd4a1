//! Merchants and the hashes of their API keys.

use events::MerchantId;
use storage::{Client, Error};
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

const BY_KEY: &str =
    "SELECT merchant_id, name, enabled, created_at FROM pay.merchants WHERE api_key_sha256 = $1";

/// The merchant whose API key has this hash.
pub(crate) async fn find_by_key(
    client: &Client,
    api_key_sha256: &[u8; 32],
) -> Result<Option<Merchant>, Error> {
    let statement = client.prepare_cached(BY_KEY).await?;
    let row = client.query_opt(&statement, &[&api_key_sha256.as_slice()]).await?;
    row.as_ref().map(merchant).transpose()
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
