//! Whether the relay may begin to publish: not into queues that are known to lose what they are given.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use messaging::management::{HeldVhost, Management};
use messaging::{FindingKind, Publisher, Topology};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Between two looks while something would lose messages.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const READ_AGAIN: Duration = Duration::from_millis(500);
/// How long to try an API that cannot be read: most failures of a starting or busy broker are over by then.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// How long to wait for the figures of new queues where there are policies. They take seconds; a busy broker takes more.
const FIGURES_TIMEOUT: Duration = Duration::from_secs(120);

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
            self.tell(found);
            if is_open || cancel.run_until_cancelled(sleep(LOOK_AGAIN)).await.is_none() {
                return;
            }
        }
    }

    fn tell(&self, shut: Option<String>) {
        *self.shut.lock().unwrap_or_else(PoisonError::into_inner) = shut;
    }

    /// What would lose messages. An API that stays unreadable says nothing about the broker.
    async fn look(&self, management: &Management) -> Option<String> {
        let held = self.read(management).await?;
        let losing = held.examine(&self.topology).into_iter();
        let losing: Vec<_> = losing.filter(|finding| finding.kind == FindingKind::PolicyLoses).collect();
        for finding in &losing {
            tracing::error!(%finding, to_do = finding.advice, "nothing is published while a policy loses messages");
        }
        losing.first().map(ToString::to_string)
    }

    /// What the broker holds, with the figures of new queues, which alone show an operator's policy. `None` when it cannot be
    /// read.
    async fn read(&self, management: &Management) -> Option<HeldVhost> {
        let start = Instant::now();
        loop {
            match management.read().await {
                Ok(held) if held.has_no_policy || held.has_no_figures || held.is_complete(&self.topology) => {
                    return Some(held);
                }
                Ok(held) if start.elapsed() > FIGURES_TIMEOUT => {
                    tracing::warn!(
                        "the broker shows no figures of some queues; an operator's policy on them would not be seen"
                    );
                    return Some(held);
                }
                Ok(_) => {
                    let waiting = "the broker does not show yet which policies its queues have";
                    self.tell(Some(waiting.to_owned()));
                }
                Err(error) if start.elapsed() > READ_TIMEOUT => {
                    tracing::warn!(%error, "policies could not be looked at before publishing");
                    return None;
                }
                Err(error) => tracing::debug!(%error, "policies cannot be looked at yet"),
            }
            sleep(READ_AGAIN).await;
        }
    }
}
