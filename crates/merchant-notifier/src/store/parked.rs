//! `notify.parked`: what was dead-lettered.

use events::EventType;
use storage::{Error, GenericClient};
use time::OffsetDateTime;
use uuid::Uuid;

use super::execute;

/// A dead letter. What could not be read of it is `None`.
#[derive(Debug)]
pub struct DeadLetter<'a> {
    /// Where it came from.
    pub queue: &'a str,
    /// Tells a repetition of the same message.
    pub message_key: &'a str,
    /// The event's id.
    pub event_id: Option<Uuid>,
    /// The event's time.
    pub occurred_at: Option<OffsetDateTime>,
    /// By the routing key.
    pub event_type: Option<EventType>,
    /// Whose order.
    pub merchant_id: Option<&'a str>,
    /// Which order.
    pub order_no: Option<&'a str>,
    /// Whether another publisher than the ingress made it.
    pub upstream: bool,
    /// Why, a word.
    pub reason: &'a str,
    /// Why, in words.
    pub detail: &'a str,
    /// How often it was handled in vain.
    pub attempts: u32,
}

const PARK: &str = "
INSERT INTO notify.parked AS p (queue, message_key, event_id, occurred_at, event_type, merchant_id, order_no, upstream,
    reason, detail, attempts)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (message_key, queue) DO UPDATE
SET reason = excluded.reason, detail = excluded.detail, attempts = excluded.attempts, parked_at = now()";

/// Writes a dead letter down. The same message again renews its row.
pub async fn park(client: &impl GenericClient, letter: &DeadLetter<'_>) -> Result<(), Error> {
    let attempts = i32::try_from(letter.attempts).unwrap_or(i32::MAX);
    execute(
        client,
        PARK,
        &[
            &letter.queue,
            &letter.message_key,
            &letter.event_id,
            &letter.occurred_at,
            &letter.event_type.map(EventType::as_str),
            &letter.merchant_id,
            &letter.order_no,
            &letter.upstream,
            &letter.reason,
            &letter.detail,
            &attempts,
        ],
    )
    .await?;
    Ok(())
}
