//! Closing pay orders whose time is over.

use std::time::Duration;

use events::{Fact, FactKind, PayOrderNo, to_micros};
use futures_util::future::join_all;
use storage::{Database, Error};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::facts::{FactOutcome, FactWriter, Job};
use crate::store::closings;
use crate::trace_context::TraceContext;

const INTERVAL: Duration = Duration::from_secs(1);
/// Pay orders that are looked at together.
const BATCH: u16 = 256;

/// Closes what is due, once a second. Replicas may do the same work: the second close is a duplicate.
#[derive(Debug)]
pub(crate) struct Sweeper {
    database: Database,
    facts: FactWriter,
    /// From the end of payability to the close.
    close_grace: Duration,
    /// Since when callbacks can be written here. A grace counts from then at the earliest, so that no outage of ours turns
    /// paid orders into contradictions.
    ready_since: Option<OffsetDateTime>,
}

impl Sweeper {
    pub(crate) const fn new(database: Database, facts: FactWriter, close_grace: Duration) -> Self {
        Self { database, facts, close_grace, ready_since: None }
    }

    /// Sweeps until `cancel`.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            let full = match self.sweep(to_micros(OffsetDateTime::now_utc())).await {
                Ok(done) => done >= usize::from(BATCH),
                Err(error) => {
                    tracing::warn!(%error, "expired pay orders cannot be looked for");
                    false
                }
            };
            let pause = if full { Duration::ZERO } else { INTERVAL };
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Looks at up to a batch of each kind of what is due and closes what is open. Says with how many it has done.
    async fn sweep(&mut self, now: OffsetDateTime) -> Result<usize, Error> {
        // Forgotten unless this sweep gets through: after an outage the grace begins anew.
        let ready_since = self.ready_since.take();
        let client = self.database.client().await?;
        let grace = self.close_grace;
        let was_ready = ready_since.is_some_and(|since| since + grace <= now);
        let due = was_ready.then(|| now - grace);
        let due = closings::take_due(&client, due, now, BATCH.into()).await?;
        drop(client);
        self.ready_since = ready_since.or(Some(now));
        let closed = join_all(due.open.into_iter().map(|number| self.close(number))).await;
        let closed = closed.into_iter().filter(|closed| *closed).count();
        metrics::counter!("payrelay_pay_orders_closed_total").increment(closed as u64);
        Ok(due.settled + closed)
    }

    async fn close(&self, pay_order_no: PayOrderNo) -> bool {
        let fact = Fact::own(FactKind::Closed);
        let job = Job { pay_order_no, fact, trace: TraceContext::generate(), callback: None };
        self.facts.submit(job).await == Ok(FactOutcome::Applied)
    }
}

#[cfg(test)]
mod tests;
