//! Carrying out verdicts: copies into retry and dead-letter queues first, acknowledgements last.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use metrics::counter;
use time::OffsetDateTime;

use super::delivery::Why;
use super::session::{Interruption, Order, Session};
use super::{Delivery, Handler, HandlerError, Parked, Verdict};
use crate::{Message, Outcome, PublishError, RetryDelays};

/// The reason of a message whose attempts are used up.
const ATTEMPTS_EXHAUSTED: &str = "attempts_exhausted";
/// The reason of a message that the handler rejects even alone.
const REJECTED: &str = "rejected";
/// For the verdicts on one batch. Longer than any statement of a handler may take.
const HANDLE_TIMEOUT: Duration = Duration::from_secs(60);

impl<H: Handler> Session<'_, H> {
    /// Handles a batch and settles every message of it; if the handler rejects the batch, one message after the other.
    pub(super) async fn process(&self, batch: &[Delivery], order: Order) -> Result<(), Interruption> {
        match self.ask(batch).await {
            Ok(verdicts) => self.settle(batch, verdicts, order).await,
            Err(HandlerError::Outage(reason)) => Err(Interruption::Outage(reason)),
            Err(HandlerError::Rejected(detail)) if batch.len() == 1 => {
                self.settle(batch, vec![Verdict::Retry { reason: REJECTED.to_owned(), detail }], order).await
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

    /// The handler's verdicts, one per message. A handler that panics has rejected the batch, for one message may be what
    /// it stumbles over; a handler that says nothing waits for something that is away.
    async fn ask(&self, batch: &[Delivery]) -> Result<Vec<Verdict>, HandlerError> {
        let handling = AssertUnwindSafe(self.handler.handle(batch)).catch_unwind();
        let Ok(handled) = tokio::time::timeout(HANDLE_TIMEOUT, handling).await else {
            return Err(HandlerError::Outage(format!("no verdict within {} s", HANDLE_TIMEOUT.as_secs())));
        };
        let verdicts = handled.map_err(|_| HandlerError::Rejected("the handler panicked".to_owned()))??;
        if verdicts.len() != batch.len() {
            let detail = format!("{} verdicts for {} messages", verdicts.len(), batch.len());
            return Err(HandlerError::Rejected(detail));
        }
        Ok(verdicts)
    }

    async fn settle(
        &self,
        batch: &[Delivery],
        verdicts: Vec<Verdict>,
        order: Order,
    ) -> Result<(), Interruption> {
        let settled =
            batch.iter().zip(verdicts).map(|(delivery, verdict)| (delivery, self.bounded(delivery, verdict)));
        let settled: Vec<_> = settled.collect();
        let mut copies = Vec::new();
        for (delivery, verdict) in &settled {
            copies.extend(self.copy(delivery, verdict).await?);
        }
        self.publish(copies).await?;
        fail::fail_point!(
            "consumer::after_retry_copy",
            settled.iter().any(|(_, verdict)| matches!(verdict, Verdict::Retry { .. })),
            |_| std::process::abort()
        );
        fail::fail_point!(
            "consumer::after_dead_letter_copy",
            settled.iter().any(|(_, verdict)| matches!(verdict, Verdict::DeadLetter { .. })),
            |_| std::process::abort()
        );
        fail::fail_point!("consumer::before_ack", |_| std::process::abort());
        self.acknowledge(batch, order).await?;
        fail::fail_point!("consumer::after_ack", |_| std::process::abort());
        for (delivery, verdict) in &settled {
            report(delivery, verdict);
        }
        Ok(())
    }

    /// The verdict, unless it asks for one attempt more than there are.
    fn bounded(&self, delivery: &Delivery, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Retry { reason, detail } if self.consumer.retry.after(failures(delivery)).is_none() => {
                Verdict::DeadLetter {
                    reason: ATTEMPTS_EXHAUSTED.to_owned(),
                    detail: format!("{reason}: {detail}"),
                }
            }
            verdict => verdict,
        }
    }

    /// The copy that a verdict asks for; what will be dead-lettered is parked first.
    async fn copy(&self, delivery: &Delivery, verdict: &Verdict) -> Result<Option<Message>, Interruption> {
        let attempts = failures(delivery);
        let (why, target) = match verdict {
            Verdict::Done => return Ok(None),
            Verdict::Retry { reason, detail } => {
                let delay = self.consumer.retry.after(attempts).unwrap_or_default();
                // The key is the main queue's name, by which the default exchange brings it home.
                let target = (RetryDelays::queue_name(delay), self.queue().queue.clone());
                (Why { reason, detail, attempts }, target)
            }
            Verdict::DeadLetter { reason, detail } => {
                let why = Why { reason, detail, attempts };
                self.park(delivery, &why).await?;
                fail::fail_point!("consumer::after_park", |_| std::process::abort());
                (why, (String::new(), self.queue().dead_letter_queue()))
            }
        };
        Ok(Some(delivery.copy(&why, self.queue(), target)))
    }

    async fn park(&self, delivery: &Delivery, why: &Why<'_>) -> Result<(), Interruption> {
        let Why { reason, detail, attempts } = *why;
        let parked = Parked { delivery, reason, detail, attempts, parked_at: OffsetDateTime::now_utc() };
        match self.handler.park(&parked).await {
            Ok(()) => Ok(()),
            Err(HandlerError::Outage(reason)) => Err(Interruption::Outage(reason)),
            // The record is for the tools; the message itself must not stay in the way.
            Err(HandlerError::Rejected(error)) => {
                tracing::error!(?delivery, error, reason, "a dead letter was not recorded");
                Ok(())
            }
        }
    }

    /// Publishes copies; only when all are confirmed may their originals be acknowledged. Anything that keeps the broker
    /// from taking them is an outage, and says nothing of the messages.
    async fn publish(&self, copies: Vec<Message>) -> Result<(), Interruption> {
        if copies.is_empty() {
            return Ok(());
        }
        let outcomes = match self.copies.publisher().publish(copies).await {
            Ok(outcomes) => outcomes,
            Err(error @ PublishError::Invalid(_)) => return Err(error.into()),
            Err(error) => return Err(Interruption::Outage(format!("copies are not published: {error}"))),
        };
        match outcomes.into_iter().find(|outcome| *outcome != Outcome::Confirmed) {
            None => Ok(()),
            Some(Outcome::Nacked) => {
                Err(Interruption::Outage("a retry or dead-letter queue is full".to_owned()))
            }
            // The queue is missing: the next session declares it.
            Some(outcome) => Err(Interruption::CopyRefused(outcome)),
        }
    }
}

/// Attempts in vain, this one included.
fn failures(delivery: &Delivery) -> u32 {
    delivery.attempts.saturating_add(1)
}

/// Counts a message that is settled, and logs it if somebody will have to look at it.
fn report(delivery: &Delivery, verdict: &Verdict) {
    let outcome = match verdict {
        Verdict::Done => "done",
        Verdict::Retry { .. } => "retry",
        Verdict::DeadLetter { reason, detail } => {
            tracing::warn!(?delivery, reason, detail, "message dead-lettered");
            "dead_letter"
        }
    };
    counter!("payrelay_messages_total", "queue" => delivery.queue.clone(), "outcome" => outcome).increment(1);
}
