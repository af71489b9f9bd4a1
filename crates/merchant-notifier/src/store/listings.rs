//! The listing of dead letters.

use serde::Serialize;
use storage::{Error, GenericClient};
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

use super::query;

/// A dead letter as it was written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parked {
    /// Where it came from.
    pub queue: String,
    /// Its message id, or a digest of its body.
    pub message_key: String,
    /// Why, a word.
    pub reason: String,
    /// Why, in words.
    pub detail: String,
    /// How often it was handled in vain.
    pub attempts: i32,
    /// Its event, if it could be read.
    pub event_id: Option<Uuid>,
    /// What happened.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// Whose order.
    pub merchant_id: Option<String>,
    /// Which order.
    pub order_no: Option<String>,
    /// When it was dead-lettered.
    #[serde(with = "time::serde::rfc3339")]
    pub parked_at: OffsetDateTime,
}

const PARKED: &str = "
SELECT queue, message_key, reason, detail, attempts, event_id, event_type, merchant_id, order_no, parked_at
FROM notify.parked ORDER BY parked_at DESC LIMIT $1";

/// The newest dead letters.
pub async fn parked(client: &impl GenericClient, limit: i64) -> Result<Vec<Parked>, Error> {
    let rows = query(client, PARKED, &[&limit]).await?;
    let parked = |row: &Row| {
        Ok(Parked {
            queue: row.try_get("queue")?,
            message_key: row.try_get("message_key")?,
            reason: row.try_get("reason")?,
            detail: row.try_get("detail")?,
            attempts: row.try_get("attempts")?,
            event_id: row.try_get("event_id")?,
            event_type: row.try_get("event_type")?,
            merchant_id: row.try_get("merchant_id")?,
            order_no: row.try_get("order_no")?,
            parked_at: row.try_get("parked_at")?,
        })
    };
    rows.iter().map(parked).collect()
}
