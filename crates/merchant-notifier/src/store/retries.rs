//! Retries by hand: of what is parked, or waits for a later attempt. What is delivered, due or in flight is left alone.

use serde::Serialize;
use storage::{Error, GenericClient};
use time::OffsetDateTime;

use super::notifications::{Filter, Matching};

/// What a retry would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// How many it would make due.
    pub count: i64,
    /// When the oldest of them was made.
    #[serde(with = "time::serde::rfc3339::option")]
    pub oldest: Option<OffsetDateTime>,
    /// How many more pass the filter, and cannot be sent as their endpoints stand.
    pub held: i64,
    /// The database's time, to give to [`retry`].
    #[serde(with = "time::serde::rfc3339")]
    pub as_of: OffsetDateTime,
}

/// Beside the filter. Where a lease ended unrecorded, the notification is due already.
const RETRYABLE: &str = "
    (n.status = 'PARKED' OR n.status = 'PENDING' AND n.next_attempt_at > now()
        AND (n.lease_until IS NULL OR n.lease_until < now()))";

/// What [`retry`] would find.
pub async fn preview(client: &impl GenericClient, filter: &Filter) -> Result<Preview, Error> {
    let matching = Matching::new(filter);
    let statement = format!(
        "SELECT count(*) FILTER (WHERE hold IS NULL), min(n.created_at) FILTER (WHERE hold IS NULL), count(hold), now()
        FROM notify.notifications n JOIN notify.endpoints e ON e.merchant_id = n.merchant_id
        CROSS JOIN LATERAL notify.hold_reason(e, n.url) AS hold
        WHERE {} AND {RETRYABLE}",
        matching.condition()
    );
    let row = client.query_one(&statement, &matching.parameters()).await?;
    Ok(Preview {
        count: row.try_get(0)?,
        oldest: row.try_get(1)?,
        held: row.try_get(2)?,
        as_of: row.try_get(3)?,
    })
}

/// Makes at most `limit` of what passes the filter due now, the oldest first, each with a fresh ladder; returns how many.
/// What was retried since `as_of` is left out, so that whoever goes on until nothing is left comes to an end even where
/// retries fail as fast as they are made.
///
/// One statement: whoever retries at the same time gets others, and a row is looked at again once it is locked.
pub async fn retry(
    client: &impl GenericClient,
    filter: &Filter,
    as_of: Option<OffsetDateTime>,
    limit: i64,
) -> Result<u64, Error> {
    let mut matching = Matching::new(filter);
    let (as_of, limit) = (matching.parameter(as_of), matching.parameter(limit));
    let statement = format!(
        "WITH chosen AS (
            SELECT n.notification_id
            FROM notify.notifications n JOIN notify.endpoints e ON e.merchant_id = n.merchant_id
            WHERE {} AND {RETRYABLE} AND notify.hold_reason(e, n.url) IS NULL
              AND (n.retried_at IS NULL OR n.retried_at < coalesce({as_of}::timestamptz, now()))
            ORDER BY n.notification_id LIMIT {limit}
            FOR UPDATE OF n SKIP LOCKED
        )
        UPDATE notify.notifications n
        SET status = 'PENDING', reason = NULL, next_attempt_at = now(), finished_at = NULL, retried_at = now(),
            ladder_start = n.attempts
        FROM chosen WHERE n.notification_id = chosen.notification_id",
        matching.condition()
    );
    Ok(client.execute(&statement, &matching.parameters()).await?)
}
