//! The relay: publishes what is committed.
//!
//! One leader per outbox shard reads what is pending, in the order of the commits, publishes it outside any transaction, and
//! deletes what the broker has confirmed. What it returned as unroutable stays, with a backoff of its own; a nack or an outage
//! lets the whole relay back off. Whatever happens in between, an event leaves the outbox only when it is confirmed: at
//! worst it is published twice, and consumers absorb that.

mod cursor;
mod gate;
mod gauges;
mod message;
mod standing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use events::codec::Format;
use messaging::{PublishError, PublishOutcome, Publisher};
use storage::Database;
use storage::leadership::{self, Standing};
use thiserror::Error;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::signals::Signals;
use crate::store::outbox::{self, Pending, Shard};
use cursor::Cursor;
pub(crate) use gate::Gate;
pub(crate) use gauges::observe;
pub(crate) use standing::{Relaying, Waiting};

/// Events that are published together.
const BATCH: u16 = 512;
/// Batches that are published after the service has been told to stop: as many events as its writers may have had in hand. What
/// waits for longer already would outlast the grace, and waits for the next start.
const LAST_BATCHES: u16 = 16;
/// How often the outbox is looked at while nothing wakes the relay.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// From the beginning of one batch to that of the next, at most. Unless it was full, a batch is followed after twice the time
/// that it took, for it costs three statements and a flush of both queues, however few events it holds. What is committed
/// after a pause does not wait.
const PACE: Duration = Duration::from_millis(8);
/// The first and the longest pause after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The first and the longest pause of an event that no queue was bound for.
const UNROUTABLE_BACKOFF_SECONDS: (i64, i64) = (1, 60);
/// The advisory lock of shard 0; the others follow.
const LEADERSHIP_KEY: i64 = 0x7061_795f_6f75_7400;

/// Why a step has not published everything that it read. It stays pending.
#[derive(Debug, Error)]
enum StepError {
    #[error(transparent)]
    Database(#[from] storage::Error),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("{0} events were refused by a queue, as a full one")]
    Nacked(usize),
}

/// The relay of one shard. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Relay {
    pub(crate) database: Database,
    pub(crate) publisher: Publisher,
    pub(crate) signals: Arc<Signals>,
    pub(crate) shard: Shard,
    /// Tells how this process stands to its leadership.
    pub(crate) standing: watch::Sender<Standing>,
    pub(crate) format: Format,
}

impl Relay {
    /// Publishes the events of the shard whenever this process leads it, until `cancel`.
    pub(crate) async fn run(self, cancel: CancellationToken) {
        let key = leadership_key(self.shard.shard);
        leadership::hold(&self.database, key, &self.standing, &cancel, |leading| {
            Leader { relay: self.clone(), cursor: Cursor::new(Instant::now()) }.run(leading)
        })
        .await;
    }
}

/// The key of the advisory lock of a shard.
fn leadership_key(shard: i16) -> i64 {
    LEADERSHIP_KEY + i64::from(shard)
}

/// The leader of a shard.
struct Leader {
    relay: Relay,
    cursor: Cursor,
}

impl Leader {
    async fn run(mut self, cancel: CancellationToken) {
        let mut committed = self.relay.signals.watch_outbox();
        let (mut backoff, mut is_database_away) = (BACKOFF.0, false);
        while !cancel.is_cancelled() {
            let began = Instant::now();
            match self.step(&cancel).await {
                Ok(read) => {
                    (backoff, is_database_away) = (BACKOFF.0, false);
                    let wait = async {
                        if read > 0 {
                            let took = began.elapsed();
                            sleep(PACE.saturating_sub(took).min(took)).await;
                        } else {
                            tokio::select! {
                                () = sleep(POLL_INTERVAL) => {}
                                Ok(()) = committed.changed() => {}
                            }
                        }
                    };
                    if read < usize::from(BATCH) {
                        cancel.run_until_cancelled(wait).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, shard = self.relay.shard.shard, pause_ms = backoff.as_millis(), "the relay backs off");
                    is_database_away = matches!(error, StepError::Database(_));
                    // What was read and not published lies behind the cursor.
                    self.cursor = Cursor::new(Instant::now());
                    cancel.run_until_cancelled(sleep(backoff)).await;
                    backoff = (backoff * 2).min(BACKOFF.1);
                }
            }
        }
        if !is_database_away && let Err(error) = self.finish(&cancel).await {
            tracing::info!(%error, shard = self.relay.shard.shard, "the last of the outbox is left to the next leader");
        }
    }

    /// Publishes what was committed while the relay rested and the writers ended. Another leader may publish it as well.
    async fn finish(&mut self, cancel: &CancellationToken) -> Result<(), StepError> {
        self.cursor = Cursor::new(Instant::now());
        for _ in 0..LAST_BATCHES {
            if self.step(cancel).await? < usize::from(BATCH) {
                break;
            }
        }
        Ok(())
    }

    /// Publishes one batch of what is due, and says how many events were read. After `cancel` it does not wait for a broker that
    /// is away.
    async fn step(&mut self, cancel: &CancellationToken) -> Result<usize, StepError> {
        let low = self.cursor.start(Instant::now());
        let client = self.relay.database.client().await?;
        let batch =
            outbox::read(&client, self.relay.shard, low, OffsetDateTime::now_utc(), BATCH.into()).await?;
        drop(client);
        let Some(last) = batch.last() else { return Ok(0) };
        fail::fail_point!("relay::after_read", |_| std::process::abort());
        tokio::select! {
            biased;
            connected = self.relay.publisher.connected() => connected?,
            () = cancel.cancelled() => return Err(PublishError::Disconnected(None).into()),
        }
        let messages = batch.iter().map(|pending| message::of(pending, self.relay.format)).collect();
        let outcomes = self.relay.publisher.publish(messages).await?;
        self.settle(&batch, &outcomes).await?;
        self.cursor.read_to(last.id);
        Ok(batch.len())
    }

    /// Deletes what was confirmed and postpones what was returned.
    async fn settle(&self, batch: &[Pending], outcomes: &[PublishOutcome]) -> Result<(), StepError> {
        assert_eq!(batch.len(), outcomes.len(), "each event has its outcome, or none is deleted");
        let now = OffsetDateTime::now_utc();
        let (mut confirmed, mut returned, mut nacked) = (Vec::new(), Vec::new(), 0);
        for (pending, outcome) in batch.iter().zip(outcomes) {
            match outcome {
                PublishOutcome::Confirmed => confirmed.push(pending.id),
                PublishOutcome::Returned { reason } => {
                    returned.push((pending.id, now + unroutable_backoff(pending.attempts)));
                    tracing::error!(
                        event_id = %pending.event_id,
                        pay_order_no = pending.pay_order_no,
                        routing_key = pending.event_type,
                        attempts = pending.attempts + 1,
                        reason,
                        "no queue is bound for an event; it stays pending"
                    );
                }
                PublishOutcome::Nacked => nacked += 1,
            }
        }
        let client = self.relay.database.client().await?;
        fail::fail_point!("relay::before_delete", |_| std::process::abort());
        outbox::delete(&client, &confirmed).await?;
        fail::fail_point!("relay::after_delete", |_| std::process::abort());
        outbox::postpone(&client, &returned).await?;
        if nacked == 0 { Ok(()) } else { Err(StepError::Nacked(nacked)) }
    }
}

/// 1 s, 2 s, 4 s, … up to a minute.
fn unroutable_backoff(attempts: i32) -> time::Duration {
    let (first, longest) = UNROUTABLE_BACKOFF_SECONDS;
    let doublings = attempts.max(0).unsigned_abs().min(16);
    time::Duration::seconds((first << doublings).min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unroutable_event_is_tried_ever_less_often() {
        let seconds = [0, 1, 2, 5, 6, 1000].map(|attempts| unroutable_backoff(attempts).whole_seconds());
        assert_eq!(seconds, [1, 2, 4, 32, 60, 60]);
    }
}
