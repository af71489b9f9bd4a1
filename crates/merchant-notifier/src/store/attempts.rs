//! Recording what became of an attempt, fenced by the lease that it was made under.

use std::time::Duration;

use storage::{Error, GenericClient};
use time::OffsetDateTime;
use tokio_postgres::Row;

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
    let number = i32::try_from(claimed.attempt).unwrap_or(i32::MAX);
    let duration_ms = i32::try_from(attempt.duration.as_millis()).unwrap_or(i32::MAX);
    let http_status = attempt.http_status.and_then(|status| i16::try_from(status).ok());
    let (kind, detail) = attempt.error.as_ref().map(|(kind, detail)| (*kind, detail.as_str())).unzip();
    let rows = query(
        client,
        RECORD,
        &[
            &claimed.notification_id,
            &claimed.lease_token,
            &status,
            &reason,
            &number,
            &millis(after),
            &attempt.started_at,
            &duration_ms,
            &http_status,
            &kind,
            &detail,
            &attempt.response_excerpt,
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
