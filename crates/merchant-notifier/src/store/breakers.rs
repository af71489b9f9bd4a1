//! `notify.breakers`: which merchants' last attempts failed. They are counted by [`super::attempts::record`] and obeyed by
//! [`super::leases::claim`], so that no attempt costs a statement more.

use events::MerchantId;
use serde::Serialize;
use storage::{Error, GenericClient};
use time::OffsetDateTime;
use tokio_postgres::Row;

use super::{execute, parsed, query};

/// After so many failures in a row a breaker opens.
pub const OPENS_AFTER: i32 = 5;

/// How it stands with a merchant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Breaker {
    /// Whether nothing is sent but one probe at a time.
    pub open: bool,
    /// Failed attempts in a row.
    pub failures: i32,
    /// Since when it is open.
    #[serde(with = "time::serde::rfc3339::option")]
    pub opened_at: Option<OffsetDateTime>,
    /// When the next probe may be made; while one is in flight, when it is given up for lost.
    #[serde(with = "time::serde::rfc3339::option")]
    pub probe_at: Option<OffsetDateTime>,
}

const LIST: &str = "
SELECT merchant_id, failures, opened_at, probe_at FROM notify.breakers
WHERE $1::text IS NULL OR merchant_id = $1 ORDER BY merchant_id LIMIT 10000";

/// The breaker of one merchant, or all (at most 10,000) by merchant. Who is not among them has not failed last.
pub async fn list(
    client: &impl GenericClient,
    merchant_id: Option<&MerchantId>,
) -> Result<Vec<(MerchantId, Breaker)>, Error> {
    let merchant_id = merchant_id.map(MerchantId::as_str);
    query(client, LIST, &[&merchant_id]).await?.iter().map(breaker).collect()
}

fn breaker(row: &Row) -> Result<(MerchantId, Breaker), Error> {
    let opened_at: Option<OffsetDateTime> = row.try_get("opened_at")?;
    let breaker = Breaker {
        open: opened_at.is_some(),
        failures: row.try_get("failures")?,
        opened_at,
        probe_at: row.try_get("probe_at")?,
    };
    Ok((parsed(row, "merchant_id")?, breaker))
}

const FORGET: &str = "DELETE FROM notify.breakers WHERE merchant_id = $1";

/// Closes a merchant's breaker, for its endpoint is another now.
pub async fn forget(client: &impl GenericClient, merchant_id: &MerchantId) -> Result<bool, Error> {
    Ok(execute(client, FORGET, &[&merchant_id.as_str()]).await? > 0)
}

/// The open breakers that hold something back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// How many there are.
    pub count: i64,
    /// Since when the first of them is open.
    pub oldest: Option<OffsetDateTime>,
}

/// `LIMIT 1` makes it one look into the index for each breaker, where `EXISTS` may read all that is pending.
const HOLDING: &str = "
SELECT count(*), min(b.opened_at) FROM notify.breakers b
WHERE b.opened_at IS NOT NULL
  AND (SELECT true FROM notify.notifications n
       WHERE n.merchant_id = b.merchant_id AND n.status = 'PENDING' LIMIT 1)";

/// Which breakers are open and hold something back.
pub async fn holding(client: &impl GenericClient) -> Result<Holding, Error> {
    let row = client.query_one(&client.prepare_cached(HOLDING).await?, &[]).await?;
    Ok(Holding { count: row.try_get(0)?, oldest: row.try_get(1)? })
}
