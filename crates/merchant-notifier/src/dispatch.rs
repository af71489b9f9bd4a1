//! Delivering webhooks: claim what is due, send it, record what became of it.
//!
//! What is new is handed over by the consumers, its lease already taken ([`Attempts::start`]). One loop per process claims
//! the rest: retries, what there was no place for, and what other replicas left. Every attempt is a task of its own, within
//! limits that leave room for every merchant, so that those who answer slowly only queue behind themselves. Who fails again
//! and again is left in peace but for one probe at a time, by a breaker in the database that all replicas share
//! (`notify.breakers`).

mod attempts;
mod bulkheads;
mod client;
mod outcome;
mod recorder;
mod request;
mod sender;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use events::MerchantId;
use storage::Error;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

pub use attempts::Attempts;
pub use bulkheads::{Limits, Place};
pub use outcome::{AttemptFailure, ErrorKind, Rung, WebhookAnswer, judge, next, probe_after};
pub use sender::Sender;

use crate::store::leases;

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

/// The loop that claims and starts attempts.
#[derive(Debug)]
pub struct Dispatcher {
    attempts: Attempts,
    /// What came due before was claimed, by merchant, since the last sweep.
    claimed_to: HashMap<MerchantId, OffsetDateTime>,
    claimed_at: Option<Instant>,
    swept_at: Option<Instant>,
}

impl Dispatcher {
    /// A dispatcher that claims for `attempts` whenever they have it woken, and now and then besides.
    pub fn new(attempts: Attempts) -> Self {
        Self { attempts, claimed_to: HashMap::new(), claimed_at: None, swept_at: None }
    }

    /// Delivers until `cancel`, then finishes the attempts in flight.
    ///
    /// # Panics
    /// When an attempt does, beside the exchange with its endpoint.
    pub async fn run(mut self, cancel: &CancellationToken) {
        let (mut away, attempts) = (false, self.attempts.clone());
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
            tokio::select! {
                biased;
                () = attempts.failed() => panic!("an attempt panicked"),
                () = self.wait(pause, cancel) => {}
            }
        }
        fail::fail_point!("attempts::draining", |_| std::process::abort());
        self.attempts.finish().await;
    }

    /// Claims once, and starts what was claimed; returns how much it was.
    pub async fn step(&mut self, cancel: &CancellationToken) -> Result<usize, Error> {
        let now = Instant::now();
        if self.swept_at.is_none_or(|at| now.duration_since(at) >= SWEEP_INTERVAL) {
            self.swept_at = Some(now);
            self.claimed_to.clear();
        }
        let room = self.attempts.room(&self.claimed_to);
        if room.total == 0 {
            return Ok(0);
        }
        self.claimed_at = Some(now);
        let claimed = {
            let client = self.attempts.database().client().await?;
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
        for claimed in &claimed {
            let after = claimed.due_at - LATE_COMMIT;
            let claimed_to = self.claimed_to.entry(claimed.merchant_id.clone()).or_insert(after);
            *claimed_to = after.max(*claimed_to);
        }
        self.attempts.start_claimed(&room, claimed);
        Ok(count)
    }

    /// Waits for something to do: a commit, a place that somebody waits for, or the clock.
    async fn wait(&mut self, pause: Duration, cancel: &CancellationToken) {
        tokio::select! {
            () = cancel.cancelled() => {}
            () = self.attempts.woken() => {}
            () = tokio::time::sleep(pause) => {}
        }
        let since = self.claimed_at.map_or(CLAIM_INTERVAL, |at| at.elapsed());
        cancel.run_until_cancelled(tokio::time::sleep(CLAIM_INTERVAL.saturating_sub(since))).await;
    }
}
