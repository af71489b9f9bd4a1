//! Stopping: announced first, then softly, then hard.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::http::Stop;

/// The stages of a shutdown. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Cancelled first: be not ready, and work on.
    pub draining: CancellationToken,
    /// Cancelled when who sends requests has had time to see that: take nothing new, finish what is under way.
    pub soft: CancellationToken,
    /// Cancelled when the grace is over: drop what is left. Whatever was not committed or acknowledged comes again.
    pub hard: CancellationToken,
}

impl Shutdown {
    /// A shutdown that nothing has begun; tests and `payrelay dev` begin it by [`Shutdown::begin`].
    pub fn new() -> Self {
        Self::default()
    }

    /// A shutdown that SIGTERM or SIGINT begins: soft after `delay`, hard after another `grace`. Each further signal begins the
    /// next stage at once. Call it inside the runtime.
    pub fn on_signals(delay: Duration, grace: Duration) -> io::Result<Self> {
        let shutdown = Self::new();
        let mut signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let watched = shutdown.clone();
        tokio::spawn(async move {
            // Without this task no signal would end the process: if it panics, everything ends at once.
            let _guards =
                [&watched.draining, &watched.soft, &watched.hard].map(|stage| stage.clone().drop_guard());
            either(&mut signals).await;
            tracing::info!(delay_seconds = delay.as_secs(), grace_seconds = grace.as_secs(), "shutting down");
            watched.draining.cancel();
            if !delay.is_zero() {
                within(delay, &mut signals).await;
                tracing::info!("draining");
            }
            watched.soft.cancel();
            within(grace, &mut signals).await;
            watched.hard.cancel();
        });
        Ok(shutdown)
    }

    /// Begins the shutdown without a delay, and ends it hard after `grace`. Call it inside the runtime.
    pub fn begin(&self, grace: Duration) {
        self.draining.cancel();
        self.soft.cancel();
        let hard = self.hard.clone().drop_guard();
        tokio::spawn(async move {
            tokio::time::sleep(grace).await;
            drop(hard);
        });
    }

    /// A shutdown that begins with this one, stage by stage. What begins it alone begins nothing else.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            draining: self.draining.child_token(),
            soft: self.soft.child_token(),
            hard: self.hard.child_token(),
        }
    }

    /// How a listener for requests from outside stops.
    pub fn of_http(&self) -> Stop {
        Stop { draining: self.draining.clone(), closing: self.soft.clone() }
    }

    /// Runs `work`, or drops it when the grace is over: `None`.
    pub async fn until_hard<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.hard.run_until_cancelled(work).await
    }
}

/// Waits for `time`, or for one more signal.
async fn within(time: Duration, signals: &mut (Signal, Signal)) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = either(signals) => {}
    }
}

async fn either((terminate, interrupt): &mut (Signal, Signal)) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
