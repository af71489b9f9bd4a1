//! Notifications and their attempts, as operators see them.

use events::{MerchantId, OrderNo};
use serde::Serialize;
use storage::{Error, GenericClient};
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::query;

/// A notification as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notification {
    /// The `webhook-id`.
    pub notification_id: Uuid,
    /// Its event.
    pub event_id: Uuid,
    /// Whose.
    pub merchant_id: String,
    /// Of which order.
    pub order_no: String,
    /// Of which pay order.
    pub pay_order_no: String,
    /// What happened.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The version of the pay order.
    pub version: i64,
    /// `PENDING`, `DELIVERED` or `PARKED`.
    pub status: String,
    /// Why it is parked.
    pub reason: Option<String>,
    /// How many attempts were made.
    pub attempts: i32,
    /// When the next one is due, if it is pending.
    #[serde(with = "time::serde::rfc3339::option")]
    pub next_attempt_at: Option<OffsetDateTime>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last retried by hand.
    #[serde(with = "time::serde::rfc3339::option")]
    pub retried_at: Option<OffsetDateTime>,
    /// When it was delivered or parked.
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
}

/// Which notifications are meant; a field that is `None` leaves none out.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// This one only.
    pub notification_id: Option<Uuid>,
    /// Of one merchant only.
    pub merchant_id: Option<MerchantId>,
    /// Of one status only.
    pub status: Option<&'static str>,
    /// Parked for this reason only.
    pub reason: Option<&'static str>,
    /// Of one order only.
    pub order_no: Option<OrderNo>,
    /// Made at this time or later, to the millisecond.
    pub since: Option<OffsetDateTime>,
    /// Made before this time, to the millisecond.
    pub until: Option<OffsetDateTime>,
}

/// The condition of a [`Filter`] on `notify.notifications n`. It names only what the filter asks for, and statuses as
/// literals, so that plans can use the partial indexes. Ids begin with the time: a period is a range of the primary key.
pub(super) struct Matching {
    conditions: Vec<String>,
    values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Matching {
    pub(super) fn new(filter: &Filter) -> Self {
        let mut matching = Self { conditions: vec!["true".to_owned()], values: Vec::new() };
        for (column, word) in [("status", filter.status), ("reason", filter.reason)] {
            if let Some(word) = word {
                matching.conditions.push(format!("n.{column} = '{word}'"));
            }
        }
        matching.and("notification_id =", filter.notification_id);
        matching.and("merchant_id =", filter.merchant_id.as_ref().map(ToString::to_string));
        matching.and("order_no =", filter.order_no.as_ref().map(ToString::to_string));
        matching.and("notification_id >=", filter.since.map(lowest_id));
        matching.and("notification_id <", filter.until.map(lowest_id));
        matching
    }

    fn and<T: ToSql + Sync + Send + 'static>(&mut self, comparison: &str, value: Option<T>) {
        if let Some(value) = value {
            let parameter = self.parameter(value);
            self.conditions.push(format!("n.{comparison} {parameter}"));
        }
    }

    /// The condition, which goes with all of [`Self::parameters`].
    pub(super) fn condition(&self) -> String {
        self.conditions.join(" AND ")
    }

    /// One more parameter; its name in the statement, as `$3`.
    pub(super) fn parameter<T: ToSql + Sync + Send + 'static>(&mut self, value: T) -> String {
        self.values.push(Box::new(value));
        format!("${}", self.values.len())
    }

    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}

/// The lowest id that can be made at `time`.
fn lowest_id(time: OffsetDateTime) -> Uuid {
    let millis = u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    Uuid::from_u64_pair(millis << 16, 0)
}

/// The newest notifications that pass the filter, at most `limit`.
pub async fn list(
    client: &impl GenericClient,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Notification>, Error> {
    let mut matching = Matching::new(filter);
    let limit = matching.parameter(limit);
    let statement = format!(
        "SELECT notification_id, event_id, merchant_id, order_no, pay_order_no, event_type, version, status, reason,
            attempts, CASE WHEN status = 'PENDING' THEN next_attempt_at END AS next_attempt_at, created_at, retried_at,
            finished_at
        FROM notify.notifications n WHERE {} ORDER BY notification_id DESC LIMIT {limit}",
        matching.condition()
    );
    let rows = client.query(&statement, &matching.parameters()).await?;
    rows.iter().map(notification).collect()
}

fn notification(row: &Row) -> Result<Notification, Error> {
    Ok(Notification {
        notification_id: row.try_get("notification_id")?,
        event_id: row.try_get("event_id")?,
        merchant_id: row.try_get("merchant_id")?,
        order_no: row.try_get("order_no")?,
        pay_order_no: row.try_get("pay_order_no")?,
        event_type: row.try_get("event_type")?,
        version: row.try_get("version")?,
        status: row.try_get("status")?,
        reason: row.try_get("reason")?,
        attempts: row.try_get("attempts")?,
        next_attempt_at: row.try_get("next_attempt_at")?,
        created_at: row.try_get("created_at")?,
        retried_at: row.try_get("retried_at")?,
        finished_at: row.try_get("finished_at")?,
    })
}

/// An attempt that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PastAttempt {
    /// Which, from 1.
    pub attempt: i32,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// How long it took.
    pub duration_ms: i32,
    /// The status of the answer, if there was one.
    pub http_status: Option<i16>,
    /// Why it failed, a word; null if it was acknowledged.
    pub error: Option<String>,
    /// The particulars.
    pub error_detail: Option<String>,
    /// The beginning of the answer's body.
    pub response: Option<String>,
}

const ATTEMPTS: &str = "
SELECT attempt, started_at, duration_ms, http_status, error_kind, error_detail, response_excerpt
FROM notify.attempts WHERE notification_id = $1 ORDER BY started_at, attempt LIMIT 1000";

/// The attempts at one notification within the retention, in the order of time; at most 1000.
pub async fn attempts(client: &impl GenericClient, notification_id: Uuid) -> Result<Vec<PastAttempt>, Error> {
    let rows = query(client, ATTEMPTS, &[&notification_id]).await?;
    let attempt = |row: &Row| {
        Ok(PastAttempt {
            attempt: row.try_get("attempt")?,
            started_at: row.try_get("started_at")?,
            duration_ms: row.try_get("duration_ms")?,
            http_status: row.try_get("http_status")?,
            error: row.try_get("error_kind")?,
            error_detail: row.try_get("error_detail")?,
            response: row.try_get("response_excerpt")?,
        })
    };
    rows.iter().map(attempt).collect()
}
