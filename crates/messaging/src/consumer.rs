//! The consumer runtime: subscribes to a queue, hands batches to a [`Handler`], and carries out its verdicts.
//!
//! Only the runtime acknowledges, retries and dead-letters. What it keeps to:
//!
//! - **A delivery is acknowledged last**, after its effect is committed or its copy is confirmed.
//! - **Poison takes no neighbours along.** A batch that the handler rejects is handled one by one. A message that has
//!   been delivered [`SUSPICIOUS_REDELIVERIES`] times is handled alone on the channel, so that a crash counts against it
//!   only. For the same reason every subscription begins with a prefetch of 1, until the head of the queue is sound.
//! - **An outage is no verdict.** When the handler's database is away the runtime unsubscribes and waits.

mod delivery;
mod end;
mod session;
mod settle;
mod subscription;

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use metrics::gauge;
use time::OffsetDateTime;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

pub use delivery::Delivery;

use crate::reconnect::Backoff;
use crate::{Broker, ConsumerQueue, Publisher, RetryDelays, metric_table};
use end::End;
use session::Session;

/// From this many deliveries on a message is suspected to kill its consumer.
pub(crate) const SUSPICIOUS_REDELIVERIES: u64 = 3;
/// Messages handled in one transaction, unless said otherwise.
const DEFAULT_BATCH: u16 = 200;
/// How many batches are at the consumer: one that is handled, and one that waits.
const PREFETCHED_BATCHES: u16 = 2;
/// Above that of consumers without any, which older releases are.
const PRIORITIES: std::ops::Range<i32> = 1..1_000_000;

/// For the handler's answer whether it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// A session that lasted so long is followed by another one soon.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// What a handler decides about one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Handled for good: acknowledge.
    Done,
    /// May succeed later, for a reason of this message alone: try again after the next delay.
    Retry {
        /// A word, as `unknown_order`.
        reason: String,
        /// For people.
        detail: String,
    },
    /// Will never succeed: put it where somebody can look at it.
    DeadLetter {
        /// A word, as `amount_mismatch`.
        reason: String,
        /// For people.
        detail: String,
    },
}

/// Why a handler could not decide.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// What it depends on is away: nothing can be said of any message. The runtime pauses.
    #[error("outage: {0}")]
    Outage(String),
    /// This batch failed. The runtime tries its messages one by one; one that fails alone is retried later.
    #[error("rejected: {0}")]
    Rejected(String),
}

/// A message that is about to be dead-lettered.
#[derive(Debug)]
pub struct ParkedDelivery<'a> {
    /// The message.
    pub delivery: &'a Delivery,
    /// Why, a word.
    pub reason: &'a str,
    /// Why, for people.
    pub detail: &'a str,
    /// How often it was handled in vain, this time included.
    pub attempts: u32,
    /// When.
    pub parked_at: OffsetDateTime,
}

/// What a service does with messages. Must be safe to repeat: a message comes again whenever its acknowledgement is lost.
pub trait Handler: Send + Sync + 'static {
    /// Handles a batch in one transaction and returns one verdict per message, in their order.
    fn handle(&self, batch: &[Delivery]) -> impl Future<Output = Result<Vec<Verdict>, HandlerError>> + Send;

    /// Records what will be dead-lettered, before it is.
    fn park(&self, parked: &ParkedDelivery<'_>) -> impl Future<Output = Result<(), HandlerError>> + Send;

    /// Whether what it depends on is there. Asked before subscribing, and during a pause.
    fn ready(&self) -> impl Future<Output = bool> + Send;
}

/// Whether a consumer is subscribed. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct ConsumerStatus(Arc<Status>);

#[derive(Debug, Default)]
struct Status {
    subscribed: AtomicBool,
    problem: Mutex<Option<String>>,
}

impl ConsumerStatus {
    /// Whether messages would be taken now.
    pub fn is_subscribed(&self) -> bool {
        self.0.subscribed.load(Ordering::Relaxed)
    }

    /// Why it is not subscribed, if it is known.
    pub fn problem(&self) -> Option<String> {
        let problem = self.0.problem.lock().unwrap_or_else(PoisonError::into_inner).clone();
        problem.filter(|_| !self.is_subscribed())
    }

    fn set(&self, subscribed: bool) {
        self.0.subscribed.store(subscribed, Ordering::Relaxed);
    }

    fn interrupted(&self, problem: String) {
        *self.0.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
    }
}

/// Whether all consumers are subscribed; if not, why, as far as it is known.
pub fn all_subscribed(consumers: &[ConsumerStatus]) -> Result<(), String> {
    match consumers.iter().find(|consumer| !consumer.is_subscribed()) {
        None => Ok(()),
        Some(waiting) => Err(match waiting.problem() {
            Some(problem) => format!("not every queue is consumed: {problem}"),
            None => "not every queue is consumed".to_owned(),
        }),
    }
}

/// A consumer of one queue.
#[derive(Clone, Debug)]
pub struct Consumer {
    broker: Broker,
    queue: ConsumerQueue,
    retry: RetryDelays,
    batch: u16,
    /// Of several consumers of a queue the broker serves the one with the highest first, and the next when that has its
    /// prefetch in hand. So replicas work in full batches instead of dividing them, and all of them when there is work for all.
    priority: i32,
    status: ConsumerStatus,
}

impl Consumer {
    /// A consumer that handles up to 200 messages at once.
    pub fn new(broker: Broker, queue: ConsumerQueue, retry: RetryDelays) -> Self {
        metric_table::start_queue(&queue.queue);
        let priority = rand::random_range(PRIORITIES);
        Self { broker, queue, retry, batch: DEFAULT_BATCH, priority, status: ConsumerStatus::default() }
    }

    /// The same with another number of messages handled at once, at least 1.
    #[must_use]
    pub fn with_batch(self, batch: u16) -> Self {
        Self { batch: batch.max(1), ..self }
    }

    /// The queue that it consumes.
    pub fn queue(&self) -> &str {
        &self.queue.queue
    }

    /// Tells whether it is subscribed.
    pub fn status(&self) -> ConsumerStatus {
        self.status.clone()
    }

    /// Consumes until `cancel`: declares the queue, subscribes, and does so again whenever the connection breaks or the
    /// handler is ready again after an outage. Then takes nothing more, finishes what is in hand, and returns; what was
    /// not taken goes back to the queue.
    ///
    /// # Panics
    /// When the task that publishes its copies does.
    pub async fn run(self, handler: impl Handler, cancel: CancellationToken) {
        self.set_subscribed(false);
        let mut copies = Copies::new(self.broker.named(&format!("{} copies", self.queue.queue)));
        let mut backoff = Backoff::default();
        loop {
            if !until_ready(&handler, &mut backoff, &cancel).await {
                break;
            }
            let started = Instant::now();
            let end = Session::run(&self, &copies, &handler, &cancel).await;
            self.set_subscribed(false);
            match end {
                Ok(End::Cancelled) => break,
                Ok(End::Outage(reason)) => {
                    tracing::warn!(
                        queue = self.queue.queue,
                        reason,
                        "consumer paused until its handler is ready"
                    );
                    self.status.interrupted(reason);
                }
                Ok(End::Unsubscribed) => {
                    tracing::warn!(queue = self.queue.queue, "the broker ended the subscription");
                    self.status.interrupted("the broker ended the subscription".to_owned());
                }
                Err(error) => {
                    tracing::warn!(queue = self.queue.queue, %error, "consumer interrupted");
                    self.status.interrupted(error.to_string());
                }
            }
            copies.check().await;
            if started.elapsed() > HEALTHY_AFTER {
                backoff.reset();
            }
            if !backoff.wait(&cancel).await {
                break;
            }
        }
        copies.close().await;
    }

    fn set_subscribed(&self, subscribed: bool) {
        self.status.set(subscribed);
        let value = if subscribed { 1.0 } else { 0.0 };
        gauge!("payrelay_consumer_subscribed", "queue" => self.queue.queue.clone()).set(value);
    }

    fn prefetch(&self) -> u16 {
        self.batch.saturating_mul(PREFETCHED_BATCHES)
    }
}

/// The publisher of copies. It connects when the first copy is to be made, for in good times there is none, and every
/// connection costs the client 8 MB and the broker its share.
struct Copies {
    broker: Broker,
    publisher: OnceLock<(Publisher, JoinHandle<()>)>,
}

impl Copies {
    fn new(broker: Broker) -> Self {
        Self { broker, publisher: OnceLock::new() }
    }

    /// Stopped by the drop of its last handle, for what is in hand at the end may still have to be published.
    fn publisher(&self) -> &Publisher {
        let (publisher, _) = self.publisher.get_or_init(|| {
            let (publisher, task) = Publisher::new(self.broker.clone(), None, CancellationToken::new());
            (publisher, tokio::spawn(task.run()))
        });
        publisher
    }

    /// Panics when the publisher's task has: its consumer could settle nothing any more.
    async fn check(&mut self) {
        if self.publisher.get().is_some_and(|(_, task)| task.is_finished())
            && let Some((_, task)) = self.publisher.take()
            && let Err(Ok(panic)) = task.await.map_err(JoinError::try_into_panic)
        {
            resume_unwind(panic);
        }
    }

    async fn close(self) {
        if let Some((publisher, _)) = self.publisher.into_inner() {
            publisher.close().await;
        }
    }
}

/// False when `cancel` came first.
async fn until_ready(handler: &impl Handler, backoff: &mut Backoff, cancel: &CancellationToken) -> bool {
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return false,
            ready = tokio::time::timeout(READY_TIMEOUT, handler.ready()) => if ready == Ok(true) { return true },
        }
        if !backoff.wait(cancel).await {
            return false;
        }
    }
}
