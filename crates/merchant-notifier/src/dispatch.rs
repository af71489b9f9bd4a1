//! Delivering webhooks: claim what is due, send it, record what became of it.
//!
//! One loop per process claims, and every claimed notification is at once a task of its own. The claim leaves room for
//! every merchant, so that those who answer slowly only queue behind themselves. Who fails again and again is left in peace
//! but for one probe at a time, by a breaker in the database that all replicas share (`notify.breakers`).

mod outcome;
mod recorder;
mod sender;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use events::MerchantId;
use metrics::{counter, gauge};
use storage::{Database, Error};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

pub use outcome::{Answer, ErrorKind, Failure, judge, next, probe_after};
pub use sender::Sender;

use recorder::Recorder;

use crate::store::attempts::Attempt;
use crate::store::leases::{self, Claimed, Room, Share};

/// How often the database is asked when nothing wakes us: for retries that come due, and what other replicas made.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The pause after the database was not there.
const OUTAGE_PAUSE: Duration = Duration::from_secs(1);
/// The shortest time from claim to claim: under load, what comes due and what ends meanwhile share one statement.
const CLAIM_INTERVAL: Duration = Duration::from_millis(5);
/// How often a claim looks at everything that is due, and not only at what came due after the last one.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// How much earlier than what is committed already something may have come due.
const LATE_COMMIT: Duration = Duration::from_millis(250);

/// How much is done at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Attempts in flight.
    pub workers: u32,
    /// Attempts in flight for one endpoint.
    pub per_endpoint: u32,
}

/// The loop that claims and starts attempts.
#[derive(Debug)]
pub struct Dispatcher {
    database: Database,
    sender: Arc<Sender>,
    recorder: Recorder,
    limits: Limits,
    wake: Arc<Notify>,
    attempts: JoinSet<()>,
    in_flight: HashMap<Id, MerchantId>,
    /// When the last thing that was claimed had come due, by merchant, since the last sweep.
    claimed_to: HashMap<MerchantId, OffsetDateTime>,
    claimed_at: Option<Instant>,
    swept_at: Option<Instant>,
}

impl Dispatcher {
    /// A dispatcher that claims from `database` whenever `wake` is notified, and now and then besides.
    pub fn new(database: Database, sender: Sender, limits: Limits, wake: Arc<Notify>) -> Self {
        Self {
            recorder: Recorder::spawn(database.clone()),
            database,
            sender: Arc::new(sender),
            limits,
            wake,
            attempts: JoinSet::new(),
            in_flight: HashMap::new(),
            claimed_to: HashMap::new(),
            claimed_at: None,
            swept_at: None,
        }
    }

    /// Delivers until `cancel`, then finishes the attempts in flight.
    pub async fn run(mut self, cancel: &CancellationToken) {
        let mut away = false;
        while !cancel.is_cancelled() {
            let pause = match self.step(cancel).await {
                Ok(_) => POLL_INTERVAL,
                Err(error) if away => {
                    tracing::debug!(%error, "due notifications still cannot be claimed");
                    OUTAGE_PAUSE
                }
                Err(error) => {
                    tracing::warn!(%error, "due notifications cannot be claimed, trying again until it works");
                    OUTAGE_PAUSE
                }
            };
            away = pause == OUTAGE_PAUSE;
            self.wait(pause, cancel).await;
        }
        fail::fail_point!("attempts::draining", |_| std::process::abort());
        while let Some(ended) = self.attempts.join_next_with_id().await {
            self.settle(ended);
        }
    }

    /// Claims once, and starts what was claimed; returns how much it was.
    pub async fn step(&mut self, cancel: &CancellationToken) -> Result<usize, Error> {
        let now = Instant::now();
        if self.swept_at.is_none_or(|at| now.duration_since(at) >= SWEEP_INTERVAL) {
            self.swept_at = Some(now);
            self.claimed_to.clear();
        }
        let room = self.room();
        if room.total == 0 {
            return Ok(0);
        }
        self.claimed_at = Some(now);
        let claimed = {
            let client = self.database.client().await?;
            let claimed = leases::claim(&client, &room).await?;
            if cancel.is_cancelled() {
                // Others need not wait for the leases to end.
                leases::release(&client, &claimed).await?;
                return Ok(0);
            }
            claimed
        };
        let count = claimed.len();
        fail::fail_point!("attempts::after_claim", count > 0, |_| std::process::abort());
        for claimed in claimed {
            let merchant_id = claimed.merchant_id.clone();
            let claimed_to = self.claimed_to.entry(merchant_id.clone()).or_insert(claimed.due_at);
            *claimed_to = claimed.due_at.max(*claimed_to);
            let (database, recorder) = (self.database.clone(), self.recorder.clone());
            let task = deliver(database, Arc::clone(&self.sender), recorder, claimed);
            let id = self.attempts.spawn(task).id();
            self.in_flight.insert(id, merchant_id);
        }
        gauge!("payrelay_webhook_attempts_in_flight").set(f64::from(self.busy()));
        Ok(count)
    }

    /// Waits for something to do: a commit, an attempt that ended, or the clock.
    async fn wait(&mut self, pause: Duration, cancel: &CancellationToken) {
        tokio::select! {
            () = cancel.cancelled() => {}
            () = self.wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
            Some(ended) = self.attempts.join_next_with_id() => self.settle(ended),
        }
        let since = self.claimed_at.map_or(CLAIM_INTERVAL, |at| at.elapsed());
        cancel.run_until_cancelled(tokio::time::sleep(CLAIM_INTERVAL.saturating_sub(since))).await;
        // Those that ended meanwhile leave their room to the same claim.
        while let Some(ended) = self.attempts.try_join_next_with_id() {
            self.settle(ended);
        }
    }

    fn settle(&mut self, ended: Result<(Id, ()), JoinError>) {
        let (id, ()) = ended.unwrap_or_else(|error| {
            tracing::error!(%error, "an attempt ended without a result; its lease will");
            (error.id(), ())
        });
        self.in_flight.remove(&id);
    }

    fn busy(&self) -> u32 {
        u32::try_from(self.in_flight.len()).unwrap_or(u32::MAX)
    }

    fn room(&self) -> Room {
        let mut in_flight: HashMap<&MerchantId, u32> = HashMap::new();
        for merchant in self.in_flight.values() {
            *in_flight.entry(merchant).or_default() += 1;
        }
        for merchant in self.claimed_to.keys() {
            in_flight.entry(merchant).or_default();
        }
        let share = |(merchant_id, in_flight): (&MerchantId, u32)| Share {
            merchant_id: merchant_id.clone(),
            share: self.limits.per_endpoint.saturating_sub(in_flight),
            after: self.claimed_to.get(merchant_id).map(|claimed_to| *claimed_to - LATE_COMMIT),
        };
        Room {
            total: self.limits.workers.saturating_sub(self.busy()),
            share: self.limits.per_endpoint,
            shares: in_flight.into_iter().map(share).collect(),
        }
    }
}

/// Sends one claimed notification and records the attempt.
async fn deliver(database: Database, sender: Arc<Sender>, recorder: Recorder, claimed: Claimed) {
    if !claimed.may_start(Instant::now()) {
        release(&database, &claimed).await;
        return;
    }
    let attempt = sender.attempt(&claimed).await;
    log(&claimed, &attempt);
    fail::fail_point!("attempts::before_record", |_| std::process::abort());
    let kept = recorder.record(&claimed, &attempt).await;
    fail::fail_point!("attempts::after_record", |_| std::process::abort());
    counter!("payrelay_webhook_attempts_recorded_total", "recorded" => if kept { "yes" } else { "no" })
        .increment(1);
}

/// Gives a lease back of which too little is left to start an attempt.
async fn release(database: &Database, claimed: &Claimed) {
    let released = async { leases::release(&database.client().await?, std::slice::from_ref(claimed)).await };
    if let Err(error) = released.await {
        tracing::debug!(%error, "a lease was not released; it ends by itself");
    }
}

fn log(claimed: &Claimed, attempt: &Attempt) {
    let (kind, detail) = attempt.error.as_ref().map(|(kind, detail)| (*kind, detail.as_str())).unzip();
    let trace_id = claimed.traceparent.as_deref().and_then(|trace| trace.get(3..35));
    tracing::info!(
        order_no = %claimed.order_no,
        pay_order_no = %claimed.pay_order_no,
        merchant_id = %claimed.merchant_id,
        notification_id = %claimed.notification_id,
        trace_id,
        attempt = claimed.attempt,
        http_status = attempt.http_status,
        duration_ms = attempt.duration.as_millis(),
        error = kind,
        detail,
        next = ?attempt.next,
        "webhook attempt",
    );
}
