//! Carrying out verdicts: copies into retry and dead-letter queues first, acknowledgements last.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use metrics::{counter, histogram};
use time::OffsetDateTime;

use super::delivery::Why;
use super::end::Interruption;
use super::session::{Order, Session};
use super::{Delivery, Handler, HandlerError, ParkedDelivery, Verdict};
use crate::{Message, PublishError, PublishOutcome, RetryDelays};

/// The reason of a message whose attempts are used up.
const ATTEMPTS_EXHAUSTED: &str = "attempts_exhausted";
/// The reason of a message that the handler rejects even alone.
const REJECTED: &str = "rejected";
/// A verdict that can be carried out.
enum Settlement {
    Done,
    /// The copy waits for so long, a delay that has a queue.
    Retry {
        delay: Duration,
        reason: String,
        detail: String,
    },
    DeadLetter {
        reason: String,
        detail: String,
    },
}

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
        assert_eq!(batch.len(), verdicts.len(), "each message has its verdict, or none is acknowledged");
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
            settled.iter().any(|(_, verdict)| matches!(verdict, Settlement::Retry { .. })),
            |_| std::process::abort()
        );
        fail::fail_point!(
            "consumer::after_dead_letter_copy",
            settled.iter().any(|(_, verdict)| matches!(verdict, Settlement::DeadLetter { .. })),
            |_| std::process::abort()
        );
        fail::fail_point!("consumer::before_ack", |_| std::process::abort());
        self.acknowledge(batch, order).await?;
        fail::fail_point!("consumer::after_ack", |_| std::process::abort());
        let now = OffsetDateTime::now_utc();
        for (delivery, verdict) in &settled {
            report(delivery, verdict, now);
        }
        Ok(())
    }

    /// The verdict, unless it asks for one attempt more than there are.
    fn bounded(&self, delivery: &Delivery, verdict: Verdict) -> Settlement {
        match verdict {
            Verdict::Done => Settlement::Done,
            Verdict::Retry { reason, detail } => match self.consumer.retry.after(failures(delivery)) {
                Some(delay) => Settlement::Retry { delay, reason, detail },
                None => Settlement::DeadLetter {
                    reason: ATTEMPTS_EXHAUSTED.to_owned(),
                    detail: format!("{reason}: {detail}"),
                },
            },
            Verdict::DeadLetter { reason, detail } => Settlement::DeadLetter { reason, detail },
        }
    }

    /// The copy that a verdict asks for; what will be dead-lettered is parked first.
    async fn copy(&self, delivery: &Delivery, verdict: &Settlement) -> Result<Option<Message>, Interruption> {
        let attempts = failures(delivery);
        let (why, (exchange, routing_key)) = match verdict {
            Settlement::Done => return Ok(None),
            Settlement::Retry { delay, reason, detail } => {
                // The key is the main queue's name, by which the default exchange brings it home.
                let target = (RetryDelays::queue_name(*delay), self.queue().queue.clone());
                (Why { reason, detail, attempts }, target)
            }
            Settlement::DeadLetter { reason, detail } => {
                let why = Why { reason, detail, attempts };
                self.park(delivery, &why).await?;
                fail::fail_point!("consumer::after_park", |_| std::process::abort());
                (why, (String::new(), self.queue().dead_letter_queue()))
            }
        };
        Ok(Some(delivery.copy(&why, self.queue(), exchange, routing_key)))
    }

    async fn park(&self, delivery: &Delivery, why: &Why<'_>) -> Result<(), Interruption> {
        let Why { reason, detail, attempts } = *why;
        let parked =
            ParkedDelivery { delivery, reason, detail, attempts, parked_at: OffsetDateTime::now_utc() };
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
        match outcomes.into_iter().find(|outcome| *outcome != PublishOutcome::Confirmed) {
            None => Ok(()),
            Some(PublishOutcome::Nacked) => {
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

/// Counts a message that is settled, measures its age, and logs it if somebody will have to look at it.
fn report(delivery: &Delivery, verdict: &Settlement, now: OffsetDateTime) {
    let outcome = match verdict {
        Settlement::Done => {
            if let Some(occurred_at) = delivery.occurred_at() {
                // Clocks differ: an event of the future has no age.
                let age = (now - occurred_at).as_seconds_f64().max(0.0);
                histogram!("payrelay_message_age_seconds", "queue" => delivery.queue.clone()).record(age);
            }
            "done"
        }
        Settlement::Retry { .. } => "retry",
        Settlement::DeadLetter { reason, detail } => {
            tracing::warn!(?delivery, reason, detail, "message dead-lettered");
            "dead_letter"
        }
    };
    counter!("payrelay_messages_total", "queue" => delivery.queue.clone(), "outcome" => outcome).increment(1);
}
