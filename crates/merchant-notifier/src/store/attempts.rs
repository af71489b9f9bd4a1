//! Recording what became of an attempt, fenced by the lease that it was made under.

use std::collections::HashMap;
use std::time::Duration;

use storage::{Error, GenericClient};
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

use super::breakers::OPENS_AFTER;
use super::leases::Claimed;
use super::{millis, query};

/// What follows an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The merchant has it.
    Delivered,
    /// Another attempt, after a while.
    Retry {
        /// How long.
        after: Duration,
    },
    /// Nothing, until somebody does something.
    Park {
        /// Why: `attempts_exhausted`, `endpoint_disabled` or `gone`.
        reason: &'static str,
    },
}

/// One attempt and what it found.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// When it began.
    pub started_at: OffsetDateTime,
    /// How long it took.
    pub duration: Duration,
    /// The status of the answer, if there was one.
    pub http_status: Option<u16>,
    /// Why it failed: a word, and the particulars.
    pub error: Option<(&'static str, String)>,
    /// The beginning of the answer's body, as printable text.
    pub response_excerpt: Option<String>,
    /// What follows.
    pub next: Next,
    /// If it failed by the merchant's fault: after what time its endpoint may be probed, should the breaker be open. A
    /// failure without it says nothing of the endpoint.
    pub probe_after: Option<Duration>,
}

/// What recording an attempt changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Whether the merchant's breaker opened by it.
    pub opened: bool,
    /// Whether the merchant's breaker was open, and closed by it.
    pub closed: bool,
}

/// The attempt is logged only if the lease still held. A day without a partition loses its log, not the result.
///
/// The breaker's row is locked after the notification's, and only where there is one or there must be. A failure of what was
/// claimed before the breaker opened leaves the probe's time alone. A probe that says nothing of the endpoint makes room for
/// the next.
const RECORD: &str = "
WITH recorded AS (
    UPDATE notify.notifications
    SET status = $3, reason = $4, attempts = $5, next_attempt_at = now() + $6::bigint * interval '1 millisecond',
        lease_token = NULL, lease_until = NULL, finished_at = CASE WHEN $3 <> 'PENDING' THEN now() END
    WHERE notification_id = $1 AND lease_token = $2
    RETURNING notification_id, merchant_id
), logged AS (
    INSERT INTO notify.attempts (notification_id, attempt, started_at, duration_ms, http_status, error_kind,
        error_detail, response_excerpt)
    SELECT notification_id, $5, $7, $8, $9, $10, $11, $12 FROM recorded
    WHERE to_regclass('notify.attempts_p' || to_char($7::timestamptz AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL
), failed AS (
    INSERT INTO notify.breakers AS b (merchant_id, failures)
    SELECT merchant_id, 1 FROM recorded WHERE $13::bigint IS NOT NULL
    ON CONFLICT (merchant_id) DO UPDATE
    SET failures = b.failures + 1,
        opened_at = coalesce(b.opened_at, CASE WHEN b.failures + 1 >= $15 THEN now() END),
        probe_at = CASE WHEN b.probe_at = $14 OR b.opened_at IS NULL AND b.failures + 1 >= $15
            THEN now() + $13::bigint * interval '1 millisecond' ELSE b.probe_at END
    RETURNING opened_at = now() AS opened
), closed AS (
    DELETE FROM notify.breakers b USING recorded WHERE b.merchant_id = recorded.merchant_id AND $3 = 'DELIVERED'
    RETURNING b.opened_at IS NOT NULL AS was_open
), unknown AS (
    UPDATE notify.breakers b SET probe_at = now() FROM recorded
    WHERE b.merchant_id = recorded.merchant_id AND b.probe_at = $14 AND $13::bigint IS NULL AND $3 <> 'DELIVERED'
)
SELECT coalesce((SELECT opened FROM failed), false) AS opened, coalesce((SELECT was_open FROM closed), false) AS closed
FROM recorded";

/// Records an attempt and what it says of the endpoint, in one statement. `None` when the lease was taken over meanwhile:
/// then nothing is written.
pub async fn record(
    client: &impl GenericClient,
    claimed: &Claimed,
    attempt: &Attempt,
) -> Result<Option<Recorded>, Error> {
    let (status, reason, after) = match attempt.next {
        Next::Delivered => ("DELIVERED", None, Duration::ZERO),
        Next::Retry { after } => ("PENDING", None, after),
        Next::Park { reason } => ("PARKED", Some(reason), Duration::ZERO),
    };
    let ended = Ended::new(claimed, attempt);
    let (kind, detail) = attempt.error.as_ref().map(|(kind, detail)| (*kind, detail.as_str())).unzip();
    let rows = query(
        client,
        RECORD,
        &[
            &ended.notification_id,
            &ended.lease_token,
            &status,
            &reason,
            &ended.attempt,
            &millis(after),
            &ended.started_at,
            &ended.duration_ms,
            &ended.http_status,
            &kind,
            &detail,
            &ended.response_excerpt,
            &attempt.probe_after.map(millis),
            &claimed.lease_until,
            &OPENS_AFTER,
        ],
    )
    .await?;
    let recorded =
        |row: &Row| Ok(Recorded { opened: row.try_get("opened")?, closed: row.try_get("closed")? });
    rows.first().map(recorded).transpose()
}

/// As [`RECORD`] for attempts that were acknowledged, many in one statement. They say that their endpoints are well, so a
/// breaker goes; its row is locked after the notifications', sorted, for others may close it at the same time.
const RECORD_DELIVERED: &str = "
WITH recorded AS (
    UPDATE notify.notifications n
    SET status = 'DELIVERED', attempts = e.attempt, lease_token = NULL, lease_until = NULL, finished_at = now()
    FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::timestamptz[], $5::integer[], $6::smallint[], $7::text[])
        AS e (notification_id, lease_token, attempt, started_at, duration_ms, http_status, response_excerpt)
    WHERE n.notification_id = e.notification_id AND n.lease_token = e.lease_token
    RETURNING e.*, n.merchant_id
), logged AS (
    INSERT INTO notify.attempts (notification_id, attempt, started_at, duration_ms, http_status, response_excerpt)
    SELECT notification_id, attempt, started_at, duration_ms, http_status, response_excerpt FROM recorded
    WHERE to_regclass('notify.attempts_p' || to_char(started_at AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL
), well AS MATERIALIZED (
    SELECT merchant_id FROM notify.breakers WHERE merchant_id IN (SELECT merchant_id FROM recorded)
    ORDER BY merchant_id FOR UPDATE
), closed AS (
    DELETE FROM notify.breakers b USING well WHERE b.merchant_id = well.merchant_id
    RETURNING b.merchant_id, b.opened_at IS NOT NULL AS was_open
)
SELECT notification_id, coalesce(closed.was_open, false) AS closed FROM recorded LEFT JOIN closed USING (merchant_id)";

/// Records attempts that were acknowledged, in one statement; answers as [`record`] does, in their order.
pub async fn record_acknowledged(
    client: &impl GenericClient,
    ended: &[Ended],
) -> Result<Vec<Option<Recorded>>, Error> {
    let ids: Vec<_> = ended.iter().map(|ended| ended.notification_id).collect();
    let tokens: Vec<_> = ended.iter().map(|ended| ended.lease_token).collect();
    let attempts: Vec<_> = ended.iter().map(|ended| ended.attempt).collect();
    let started_at: Vec<_> = ended.iter().map(|ended| ended.started_at).collect();
    let durations: Vec<_> = ended.iter().map(|ended| ended.duration_ms).collect();
    let statuses: Vec<_> = ended.iter().map(|ended| ended.http_status).collect();
    let excerpts: Vec<_> = ended.iter().map(|ended| ended.response_excerpt.as_deref()).collect();
    let rows = query(
        client,
        RECORD_DELIVERED,
        &[&ids, &tokens, &attempts, &started_at, &durations, &statuses, &excerpts],
    )
    .await?;
    let recorded = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    let recorded = recorded.collect::<Result<HashMap<Uuid, bool>, Error>>()?;
    let answer = |id| recorded.get(id).map(|closed| Recorded { opened: false, closed: *closed });
    Ok(ids.iter().map(answer).collect())
}

/// An acknowledged attempt, as it is recorded.
#[derive(Debug, Clone)]
pub struct Ended {
    notification_id: Uuid,
    lease_token: Uuid,
    attempt: i32,
    started_at: OffsetDateTime,
    duration_ms: i32,
    http_status: Option<i16>,
    response_excerpt: Option<String>,
}

impl Ended {
    /// What is recorded of `attempt`.
    pub fn new(claimed: &Claimed, attempt: &Attempt) -> Self {
        Self {
            notification_id: claimed.notification_id,
            lease_token: claimed.lease_token,
            attempt: i32::try_from(claimed.attempt).unwrap_or(i32::MAX),
            started_at: attempt.started_at,
            duration_ms: i32::try_from(attempt.duration.as_millis()).unwrap_or(i32::MAX),
            http_status: attempt.http_status.and_then(|status| i16::try_from(status).ok()),
            response_excerpt: attempt.response_excerpt.clone(),
        }
    }
}
