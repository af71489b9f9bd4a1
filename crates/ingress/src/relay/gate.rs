//! Whether the relay may begin to publish: not into queues that are known to lose what they are given.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use messaging::management::Management;
use messaging::{Publisher, Topology};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Between two looks while something would lose messages.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long to wait for the figures of new queues where there are policies. A broker that was told to keep none never shows
/// them.
const COMPLETE_INTERVAL: Duration = Duration::from_millis(500);
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(15);

/// Looks once before the first publish, and then until it finds nothing that loses messages. Without a management API it
/// stands open: policies cannot be seen otherwise. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    management: Option<Management>,
    topology: Topology,
    /// Why it is shut.
    shut: Arc<Mutex<Option<String>>>,
}

impl Gate {
    pub(crate) fn new(management: Option<Management>, topology: Topology) -> Self {
        Self { management, topology, shut: Arc::default() }
    }

    /// Why nothing is published, if so.
    pub(crate) fn shut(&self) -> Option<String> {
        self.shut.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the publishers have declared the topology, for policies take hold of queues that are there, and until no
    /// policy loses messages; or until `cancel`.
    pub(crate) async fn pass(self, publishers: Vec<Publisher>, cancel: CancellationToken) {
        let Some(management) = &self.management else { return };
        while !publishers.iter().all(Publisher::is_ready) {
            if cancel.run_until_cancelled(sleep(POLL_INTERVAL)).await.is_none() {
                return;
            }
        }
        loop {
            let Some(found) = cancel.run_until_cancelled(self.look(management)).await else { return };
            metrics::gauge!("payrelay_relay_held").set(if found.is_some() { 1.0 } else { 0.0 });
            let is_open = found.is_none();
            *self.shut.lock().unwrap_or_else(PoisonError::into_inner) = found;
            if is_open || cancel.run_until_cancelled(sleep(LOOK_AGAIN)).await.is_none() {
                return;
            }
        }
    }

    /// What would lose messages. An API that cannot be read says nothing about the broker.
    async fn look(&self, management: &Management) -> Option<String> {
        let deadline = Instant::now() + COMPLETE_TIMEOUT;
        let held = loop {
            match management.read().await {
                Ok(held)
                    if held.has_no_policy
                        || held.is_complete(&self.topology)
                        || Instant::now() > deadline =>
                {
                    break held;
                }
                Ok(_) => sleep(COMPLETE_INTERVAL).await,
                Err(error) => {
                    tracing::warn!(%error, "policies could not be looked at before publishing");
                    return None;
                }
            }
        };
        let losing = held.examine(&self.topology).into_iter();
        let losing: Vec<_> = losing.filter(|finding| finding.code.ends_with("_policy_loses")).collect();
        for finding in &losing {
            tracing::error!(%finding, to_do = finding.advice, "nothing is published while a policy loses messages");
        }
        losing.first().map(ToString::to_string)
    }
}
