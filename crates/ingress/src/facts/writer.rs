//! The writer: one transaction for all facts that arrive together.

use std::sync::Arc;
use std::time::Duration;

use events::{EventId, to_micros};
use futures_util::try_join;
use storage::{Batcher, BatcherOptions, Database, Error, Transaction, Writers};
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;

use super::fold::{Folded, Prior, fold, refunded_by_parts};
use super::model::{FactOutcome, Job};
use crate::batches::{NotPersisted, write_batch_or_each};
use crate::recharges::{Before, post, trades};
use crate::signals::Signals;
use crate::store;

/// Channels do not wait much longer (WeChat Pay: 5 s), and repeat what got no answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes facts in micro-batches. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct FactWriter {
    batcher: Batcher<Job, Result<FactOutcome, NotPersisted>>,
}

impl FactWriter {
    /// The writer and its tasks, to be run; `signals` are given after every commit.
    pub(crate) fn new(database: Database, signals: Arc<Signals>) -> (Self, Writers) {
        let (batcher, writers) = Batcher::new(&BatcherOptions::new("facts"), move |jobs: Vec<Job>| {
            let (database, signals) = (database.clone(), Arc::clone(&signals));
            async move {
                write_batch_or_each(&jobs, |job| &job.pay_order_no, |jobs| write(&database, &signals, jobs))
                    .await
            }
        });
        (Self { batcher }, writers)
    }

    /// Writes one fact and says what it has done, once that is committed.
    pub(crate) async fn submit(&self, job: Job) -> Result<FactOutcome, NotPersisted> {
        let pay_order_no = job.pay_order_no.clone();
        let trace_id = job.trace.parent.trace_id();
        let why = match timeout(ANSWER_TIMEOUT, self.batcher.submit(job)).await {
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()),
        };
        tracing::error!(%pay_order_no, trace_id, why, "a fact may not have been written");
        Err(NotPersisted)
    }

    /// Writes what is queued, then ends.
    pub(crate) async fn shutdown(&self) {
        self.batcher.shutdown().await;
    }
}

async fn write(database: &Database, signals: &Signals, jobs: &[Job]) -> Result<Vec<FactOutcome>, Error> {
    let folded = database.transaction(|tx| Box::pin(async move { write_in(&tx, jobs).await })).await?;
    fail::fail_point!("facts::after_commit", |_| std::process::abort());
    announce(signals, &folded);
    Ok(folded.outcomes)
}

/// Wakes who waits for what was committed.
pub(crate) fn announce(signals: &Signals, folded: &Folded) {
    if !folded.events.is_empty() {
        signals.outbox_filled();
    }
    for order in &folded.changed {
        signals.pay_order_changed(&order.pay_order_no);
    }
    for contradiction in &folded.contradictions {
        tracing::warn!(
            pay_order_no = %contradiction.pay_order_no,
            order_no = contradiction.ours.as_ref().map(|order| order.order_no.as_str()),
            reason = %contradiction.reason,
            "contradiction recorded"
        );
    }
}

/// Writes `jobs` within a transaction: everything that they change, or nothing.
pub(crate) async fn write_in(tx: &Transaction<'_>, jobs: &[Job]) -> Result<Folded, Error> {
    let mut numbers: Vec<_> = jobs.iter().map(|job| job.pay_order_no.as_str()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let orders = store::pay_orders::lock(tx, &numbers).await?;
    let counted = store::refunds::counted(tx, &refunded_by_parts(jobs)).await?;
    let trades = trades(tx, &orders, jobs).await?;
    let before = Before::of(&orders);
    // After the lock: the events of one pay order follow one another in time.
    let now = to_micros(OffsetDateTime::now_utc());
    let folded = fold(orders, Prior { counted, trades }, jobs, now, || EventId(Uuid::now_v7()));
    // Polled together, the statements travel together.
    try_join!(
        store::callbacks::insert(tx, jobs, &folded.outcomes),
        store::pay_orders::save(tx, &folded.changed),
        store::events::insert(tx, &folded.events),
        store::outbox::insert(tx, &folded.events),
        store::contradictions::record(tx, &folded.contradictions, now),
        store::refunds::insert(tx, &folded.refunds),
        post(tx, &folded.events, before),
    )?;
    fail::fail_point!("facts::before_commit", |_| std::process::abort());
    Ok(folded)
}
