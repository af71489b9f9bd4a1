//! Micro-batching: requests that arrive together share one transaction.

use std::fmt;
use std::future::Future;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metric_table;

/// The bounds of a [`Batcher`].
#[derive(Debug, Clone)]
pub struct BatcherOptions {
    /// Names the batcher in logs and in the label `batcher` of its metrics.
    pub name: &'static str,
    /// Batches in flight at once: one connection each.
    pub writers: usize,
    /// Items that one batch holds at most.
    pub max_batch: usize,
    /// Items that may wait for a writer.
    pub capacity: usize,
    /// Longest wait for a place in the queue before a caller is told [`SubmitError::Busy`].
    pub max_wait: Duration,
    /// From the beginning of one batch to that of the next, at least and at most. Unless it holds a quarter of the most, a
    /// batch is followed after twice the time that the last one took: a transaction costs as much as some dozens of its rows,
    /// so in the midst of traffic a few more are worth a rest as long as the work. What comes after a pause does not wait.
    pub pace: RangeInclusive<Duration>,
}

impl BatcherOptions {
    /// Two writers, batches of 256, a pace of 20 ms at most, 4096 waiting items, half a second for a place in the queue.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            writers: 2,
            max_batch: 256,
            capacity: 4096,
            max_wait: Duration::from_millis(500),
            pace: Duration::ZERO..=Duration::from_millis(20),
        }
    }
}

/// Why an item got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue stayed full: nothing was done, try later.
    #[error("too many requests are waiting for the database")]
    Busy,
    /// The batcher is shutting down: nothing was done.
    #[error("shutting down")]
    Closed,
    /// The handler panicked or did not answer every item: whether the item was written is unknown.
    #[error("the batch was lost, its outcome is unknown")]
    Lost,
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The writers of a [`Batcher`], not started yet.
#[must_use = "nothing is written until they run"]
pub struct Writers(Vec<Work>);

impl Writers {
    /// Runs until [`Batcher::shutdown`], or until the last clone of the batcher is gone. Dropped before, it aborts the writers.
    ///
    /// # Panics
    /// When a writer does.
    pub async fn run(self) {
        let mut running: JoinSet<()> = self.0.into_iter().collect();
        while let Some(ended) = running.join_next().await {
            if let Err(Ok(panic)) = ended.map_err(JoinError::try_into_panic) {
                resume_unwind(panic);
            }
        }
    }
}

impl fmt::Debug for Writers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Writers").field(&self.0.len()).finish()
    }
}

/// Gathers items and hands them to a handler in batches. Nothing waits for a batch to fill: a batch is what gathered while
/// the last one was being written, or since it began. Cheap to clone.
#[derive(Debug)]
pub struct Batcher<I, O> {
    queue: mpsc::Sender<Job<I, O>>,
    max_wait: Duration,
    closing: CancellationToken,
    writers: TaskTracker,
}

#[derive(Debug)]
struct Job<I, O> {
    item: I,
    answer: oneshot::Sender<O>,
}

impl<I, O> Clone for Batcher<I, O> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            max_wait: self.max_wait,
            closing: self.closing.clone(),
            writers: self.writers.clone(),
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> Batcher<I, O> {
    /// A batcher, and its writers, to be run. `handler` gets 1 to `max_batch` items and returns one answer for each, in their
    /// order; errors are part of `O`, and writing a refused batch row by row is the handler's own business.
    pub fn new<H, F>(options: &BatcherOptions, handler: H) -> (Self, Writers)
    where
        H: Fn(Vec<I>) -> F + Send + Sync + 'static,
        F: Future<Output = Vec<O>> + Send + 'static,
    {
        metric_table::start_batcher(options.name);
        let (queue, jobs) = mpsc::channel(options.capacity);
        let closing = CancellationToken::new();
        let (writers, mut works) = (TaskTracker::new(), Vec::new());
        let writer = Arc::new(Writer {
            name: options.name,
            max_batch: options.max_batch,
            pace: options.pace.clone(),
            took_micros: AtomicU64::new(0),
            queue: Mutex::new(Queue { jobs, not_before: Instant::now() }),
            closing: closing.clone(),
            handler,
        });
        for _ in 0..options.writers {
            let writer = Arc::clone(&writer);
            let work = writers.track_future(async move { while writer.write_batch().await {} });
            works.push(Box::pin(work) as Work);
        }
        writers.close();
        (Self { queue, max_wait: options.max_wait, closing, writers }, Writers(works))
    }

    /// Queues `item` and waits for its answer. Once queued it is written even if this future is dropped.
    pub async fn submit(&self, item: I) -> Result<O, SubmitError> {
        let (answer, answered) = oneshot::channel();
        self.queue.send_timeout(Job { item, answer }, self.max_wait).await.map_err(
            |refused| match refused {
                mpsc::error::SendTimeoutError::Timeout(_) => SubmitError::Busy,
                mpsc::error::SendTimeoutError::Closed(_) => SubmitError::Closed,
            },
        )?;
        answered.await.map_err(|_| SubmitError::Lost)
    }

    /// Takes no more items, writes those that are queued, answers them, and returns when all writers have ended.
    pub async fn shutdown(&self) {
        self.closing.cancel();
        self.writers.wait().await;
    }
}

struct Queue<I, O> {
    jobs: mpsc::Receiver<Job<I, O>>,
    /// When the next batch may begin.
    not_before: Instant,
}

struct Writer<I, O, H> {
    name: &'static str,
    max_batch: usize,
    pace: RangeInclusive<Duration>,
    /// By the last batch.
    took_micros: AtomicU64,
    queue: Mutex<Queue<I, O>>,
    closing: CancellationToken,
    handler: H,
}

impl<I, O, H, F> Writer<I, O, H>
where
    H: Fn(Vec<I>) -> F,
    F: Future<Output = Vec<O>>,
{
    /// Takes what is queued, writes it, answers. False once the queue is closed and empty.
    async fn write_batch(&self) -> bool {
        let jobs = self.take().await;
        if jobs.is_empty() {
            return false;
        }
        let (items, answers): (Vec<I>, Vec<_>) = jobs.into_iter().map(|job| (job.item, job.answer)).unzip();
        let count = answers.len();
        let started = Instant::now();
        // A panic must cost one batch, not the writer. A dropped `answers` tells every caller that its item is lost.
        match AssertUnwindSafe(async { (self.handler)(items).await }).catch_unwind().await {
            Ok(outcomes) if outcomes.len() == count => {
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    // The caller may have gone away; its item is written all the same.
                    let _gone = answer.send(outcome);
                }
            }
            Ok(outcomes) => tracing::error!(
                batcher = self.name,
                count,
                answers = outcomes.len(),
                "batch answered in part"
            ),
            Err(_) => tracing::error!(batcher = self.name, count, "batch panicked"),
        }
        let took = started.elapsed();
        self.took_micros.store(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "a batch is far below 2^52 items")]
        metrics::histogram!("payrelay_batch_items", "batcher" => self.name).record(count as f64);
        metrics::histogram!("payrelay_batch_seconds", "batcher" => self.name).record(took.as_secs_f64());
        true
    }

    async fn take(&self) -> Vec<Job<I, O>> {
        let mut batch = Vec::new();
        // One idle writer waits for items, the others for the lock: whoever comes first takes all there is.
        let queue = &mut *self.queue.lock().await;
        let gathered = async {
            sleep_until(queue.not_before).await;
            queue.jobs.recv_many(&mut batch, self.max_batch).await
        };
        if self.closing.run_until_cancelled(gathered).await.is_none() {
            queue.jobs.close();
            queue.jobs.recv_many(&mut batch, self.max_batch).await;
        }
        if batch.len() < self.max_batch / 4 {
            let took = Duration::from_micros(self.took_micros.load(Ordering::Relaxed));
            queue.not_before = Instant::now() + (2 * took).clamp(*self.pace.start(), *self.pace.end());
        }
        batch
    }
}

#[cfg(test)]
mod tests;
