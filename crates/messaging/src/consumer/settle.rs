//! Carrying out verdicts: copies into retry and dead-letter queues first, acknowledgements last.

use metrics::counter;
use time::OffsetDateTime;

use super::delivery::Why;
use super::session::{Interruption, Order, Session};
use super::{Delivery, Handler, HandlerError, Parked, Verdict};
use crate::{Message, Outcome, RetryDelays};

/// The reason of a message whose attempts are used up.
const ATTEMPTS_EXHAUSTED: &str = "attempts_exhausted";
/// The reason of a message that the handler rejects even alone.
const REJECTED: &str = "rejected";

impl<H: Handler> Session<'_, H> {
    /// Handles a batch and settles every message of it; if the handler rejects the batch, one message after the other.
    pub(super) async fn process(&self, batch: &[Delivery], order: Order) -> Result<(), Interruption> {
        match self.handler.handle(batch).await {
            Ok(verdicts) if verdicts.len() == batch.len() => self.settle(batch, &verdicts, order).await,
            Ok(verdicts) => Err(Interruption::Outage(format!(
                "the handler gave {} verdicts for {} messages",
                verdicts.len(),
                batch.len()
            ))),
            Err(HandlerError::Outage(reason)) => Err(Interruption::Outage(reason)),
            Err(HandlerError::Rejected(detail)) if batch.len() == 1 => {
                self.settle(batch, &[Verdict::Retry { reason: REJECTED.to_owned(), detail }], order).await
            }
            Err(HandlerError::Rejected(detail)) => {
                tracing::info!(messages = batch.len(), detail, "batch rejected, going one by one");
                for delivery in batch {
                    Box::pin(self.process(std::slice::from_ref(delivery), order)).await?;
                }
                Ok(())
            }
        }
    }

    async fn settle(
        &self,
        batch: &[Delivery],
        verdicts: &[Verdict],
        order: Order,
    ) -> Result<(), Interruption> {
        let mut copies = Vec::new();
        for (delivery, verdict) in batch.iter().zip(verdicts) {
            copies.extend(self.copy(delivery, verdict).await?);
        }
        self.publish(copies).await?;
        self.acknowledge(batch, order).await?;
        for verdict in verdicts {
            let outcome = match verdict {
                Verdict::Done => "done",
                Verdict::Retry { .. } => "retry",
                Verdict::DeadLetter { .. } => "dead_letter",
            };
            counter!("payrelay_messages_total", "queue" => self.queue().queue.clone(), "outcome" => outcome)
                .increment(1);
        }
        Ok(())
    }

    /// The copy that a verdict asks for; what will be dead-lettered is parked first.
    async fn copy(&self, delivery: &Delivery, verdict: &Verdict) -> Result<Option<Message>, Interruption> {
        let attempts = delivery.attempts.saturating_add(1);
        let (reason, detail) = match verdict {
            Verdict::Done => return Ok(None),
            Verdict::Retry { reason, detail } => match self.consumer.retry.after(attempts) {
                Some(delay) => {
                    let why = Why { reason, detail, attempts };
                    // The key is the main queue's name, by which the default exchange brings it home.
                    let target = (RetryDelays::queue_name(delay), self.queue().queue.clone());
                    return Ok(Some(delivery.copy(&why, self.queue(), target)));
                }
                None => (ATTEMPTS_EXHAUSTED, format!("{reason}: {detail}")),
            },
            Verdict::DeadLetter { reason, detail } => (reason.as_str(), detail.clone()),
        };
        let parked =
            Parked { delivery, reason, detail: &detail, attempts, parked_at: OffsetDateTime::now_utc() };
        tracing::warn!(
            queue = delivery.queue,
            message_id = delivery.message_id,
            reason,
            detail,
            attempts,
            "message dead-lettered"
        );
        match self.handler.park(&parked).await {
            Ok(()) => {}
            Err(HandlerError::Outage(reason)) => return Err(Interruption::Outage(reason)),
            // The record is for the tools; the message itself must not stay in the way.
            Err(HandlerError::Rejected(error)) => {
                tracing::error!(error, reason, "a dead letter was not recorded");
            }
        }
        let target = (String::new(), self.queue().dead_letter_queue());
        Ok(Some(delivery.copy(&Why { reason, detail: &detail, attempts }, self.queue(), target)))
    }

    /// Publishes copies; only when all are confirmed may their originals be acknowledged.
    async fn publish(&self, copies: Vec<Message>) -> Result<(), Interruption> {
        if copies.is_empty() {
            return Ok(());
        }
        let outcomes = self.publisher.publish(copies).await?;
        match outcomes.into_iter().find(|outcome| *outcome != Outcome::Confirmed) {
            None => Ok(()),
            Some(outcome) => Err(Interruption::CopyRefused(outcome)),
        }
    }
}
