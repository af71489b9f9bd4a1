//! Attempts at what is claimed, each a task of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use events::MerchantId;
use metrics::{counter, gauge};
use storage::{Database, Writers};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Sender;
use super::bulkheads::{Bulkheads, Limits, Place};
use super::recorder::Recorder;
use crate::store::attempts::{Attempt, Next};
use crate::store::leases::{self, Claimed, Room};

/// Makes attempts and records them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Attempts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Database,
    sender: Sender,
    recorder: Recorder,
    bulkheads: Bulkheads,
    /// Notified when there may be something to claim.
    wake: Arc<Notify>,
    tasks: TaskTracker,
    /// Cancelled when an attempt panics.
    failed: CancellationToken,
}

impl Attempts {
    /// Attempts by `sender` within `limits`, and the task that records them, to be run. `wake` is notified when a place is free
    /// that somebody may wait for.
    pub fn new(database: Database, sender: Sender, limits: Limits, wake: Arc<Notify>) -> (Self, Writers) {
        let (recorder, writers) = Recorder::new(database.clone());
        let attempts = Self(Arc::new(Inner {
            recorder,
            database,
            sender,
            bulkheads: Bulkheads::new(limits),
            wake,
            tasks: TaskTracker::new(),
            failed: CancellationToken::new(),
        }));
        (attempts, writers)
    }

    /// A place for a notification that is only just made, to be given to [`Self::start`] when it is committed under a
    /// lease. None when the merchant has no place free, or older ones wait for it.
    pub fn place_for_new(&self, merchant_id: &MerchantId) -> Option<Place> {
        self.0.bulkheads.for_new(merchant_id)
    }

    /// Starts the attempt at what is claimed; without a place it waits for one first.
    pub fn start(&self, claimed: Claimed, place: Option<Place>) {
        let inner = Arc::clone(&self.0);
        self.0.tasks.spawn(async move {
            let failed = inner.failed.clone().drop_guard();
            inner.run(claimed, place).await;
            failed.disarm();
        });
    }

    /// Has what was committed without a lease claimed, before anything newer of its merchant.
    pub fn queue_for_claim(&self, merchant_id: &MerchantId) {
        self.0.bulkheads.falls_behind(merchant_id);
        self.0.wake.notify_one();
    }

    pub(super) fn database(&self) -> &Database {
        &self.0.database
    }

    /// Waits until there may be something to claim.
    pub(super) async fn woken(&self) {
        self.0.wake.notified().await;
    }

    /// Returns when an attempt has panicked.
    pub(super) async fn failed(&self) {
        self.0.failed.cancelled().await;
    }

    /// [`Self::finish`], after which nothing is recorded any more.
    pub async fn close(&self) {
        self.finish().await;
        self.0.recorder.shutdown().await;
    }

    /// Starts nothing that has no place yet, and waits for what is in flight.
    pub async fn finish(&self) {
        self.0.bulkheads.close();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    pub(super) fn room(&self, after: &HashMap<MerchantId, OffsetDateTime>) -> Room {
        gauge!("payrelay_webhook_attempts_in_flight").set(f64::from(self.0.bulkheads.in_flight()));
        self.0.bulkheads.room(after)
    }

    /// Starts what a claim of `room` has found.
    pub(super) fn start_claimed(&self, room: &Room, claimed: Vec<Claimed>) {
        let mut found: HashMap<MerchantId, u32> = HashMap::new();
        for claimed in &claimed {
            *found.entry(claimed.merchant_id.clone()).or_default() += 1;
        }
        self.0.bulkheads.claimed(room, &found);
        for claimed in claimed {
            self.start(claimed, None);
        }
    }
}

impl Inner {
    async fn run(&self, claimed: Claimed, place: Option<Place>) {
        let place = match place {
            Some(place) => Some(place),
            None => self.bulkheads.wait_for(&claimed.merchant_id).await,
        };
        match place {
            Some(place) if claimed.may_start(Instant::now()) => self.attempt(&claimed, place).await,
            _ => self.release(&claimed).await,
        }
        self.place_is_free();
    }

    /// Sends one claimed notification and records the attempt. A merchant that has acknowledged may get the next at once; where
    /// the attempt failed, its breaker must count that first. What was acknowledged before a merchant failed may be recorded after
    /// that, and close a breaker that has just opened: then it opens again.
    async fn attempt(&self, claimed: &Claimed, mut place: Place) {
        let attempt = self.sender.attempt(claimed).await;
        log(claimed, &attempt);
        fail::fail_point!("attempts::before_record", |_| std::process::abort());
        if attempt.next == Next::Delivered {
            place.leave_merchant();
            self.place_is_free();
        }
        let kept = self.recorder.record(claimed, &attempt).await;
        fail::fail_point!("attempts::after_record", |_| std::process::abort());
        counter!("payrelay_webhook_attempts_recorded_total", "recorded" => if kept { "yes" } else { "no" })
            .increment(1);
    }

    /// Has claimed what waits for a place.
    fn place_is_free(&self) {
        if self.bulkheads.anybody_behind() {
            self.wake.notify_one();
        }
    }

    /// Gives a lease back that no attempt was started under.
    async fn release(&self, claimed: &Claimed) {
        let released =
            async { leases::release(&self.database.client().await?, std::slice::from_ref(claimed)).await };
        if let Err(error) = released.await {
            tracing::debug!(%error, "a lease was not released; it ends by itself");
        }
    }
}

/// Every attempt is in the database; what went well is not logged besides, for it is almost everything.
fn log(claimed: &Claimed, attempt: &Attempt) {
    let Some((kind, detail)) = &attempt.error else {
        tracing::debug!(notification_id = %claimed.notification_id, order_no = %claimed.order_no, "webhook acknowledged");
        return;
    };
    tracing::info!(
        order_no = %claimed.order_no,
        pay_order_no = %claimed.pay_order_no,
        merchant_id = %claimed.merchant_id,
        notification_id = %claimed.notification_id,
        trace_id = claimed.traceparent.as_deref().and_then(|trace| trace.get(3..35)),
        attempt = claimed.attempt,
        http_status = attempt.http_status,
        duration_ms = attempt.duration.as_millis(),
        error = kind,
        detail,
        next = ?attempt.next,
        "webhook attempt failed",
    );
}
