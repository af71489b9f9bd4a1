//! Stopping: softly first, then hard.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two stages of a shutdown. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Cancelled first: be not ready, take nothing new, finish what is under way.
    pub soft: CancellationToken,
    /// Cancelled when the grace is over: drop what is left. Whatever was not committed or acknowledged comes again.
    pub hard: CancellationToken,
}

impl Shutdown {
    /// A shutdown that nothing has begun; tests and `payrelay dev` begin it by [`Shutdown::begin`].
    pub fn new() -> Self {
        Self::default()
    }

    /// A shutdown that SIGTERM or SIGINT begins; a second signal ends it at once. Call it inside the runtime.
    pub fn on_signals(grace: Duration) -> io::Result<Self> {
        let shutdown = Self::new();
        let mut signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let watched = shutdown.clone();
        tokio::spawn(async move {
            either(&mut signals).await;
            tracing::info!(grace_seconds = grace.as_secs(), "shutting down");
            watched.soft.cancel();
            tokio::select! {
                () = tokio::time::sleep(grace) => {}
                () = either(&mut signals) => {}
            }
            watched.hard.cancel();
        });
        Ok(shutdown)
    }

    /// Begins the shutdown, and ends it hard after `grace`. Call it inside the runtime.
    pub fn begin(&self, grace: Duration) {
        self.soft.cancel();
        let hard = self.hard.clone();
        tokio::spawn(async move {
            tokio::time::sleep(grace).await;
            hard.cancel();
        });
    }

    /// Runs `work`, or drops it when the grace is over: `None`.
    pub async fn until_hard<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.hard.run_until_cancelled(work).await
    }
}

async fn either((terminate, interrupt): &mut (Signal, Signal)) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
