//! The background tasks of a service, supervised: the service ends with an error when one of them fails.

use std::collections::HashMap;
use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use service::{Shutdown, panics};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Why a service ended with an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A task panicked.
    #[error("the task \"{task}\" panicked: {message}")]
    Panicked {
        /// Its name.
        task: String,
        /// What the panic says.
        message: String,
    },
    /// A task ended although the service was to go on.
    #[error("the task \"{task}\" ended before the service did")]
    EndedEarly {
        /// Its name.
        task: String,
    },
    /// The hard end of the shutdown came first.
    #[error("the grace was over before the work was")]
    Overdue,
}

/// Tasks that work in the background of a service. Dropping them aborts those that still run.
#[derive(Debug)]
pub struct Tasks {
    running: JoinSet<()>,
    started: HashMap<Id, Started>,
    shutdown: Shutdown,
}

#[derive(Debug)]
struct Started {
    name: String,
    /// Whether it has only so much to do, and ends when that is done.
    is_finite: bool,
}

impl Tasks {
    /// No task yet. Each may end from the soft end of `shutdown` on, and not before. A task that fails begins the soft end, and
    /// after the grace the hard one: give it a shutdown of the service's own ([`Shutdown::child`]).
    pub fn new(shutdown: Shutdown) -> Self {
        Self { running: JoinSet::new(), started: HashMap::new(), shutdown }
    }

    /// Starts a task that works until the service stops. Errors and logs show its name.
    pub fn spawn(&mut self, name: impl Into<String>, work: impl Future<Output = ()> + Send + 'static) {
        self.start(Started { name: name.into(), is_finite: false }, work);
    }

    /// Starts a task that may end at any time, because it has only so much to do.
    pub fn spawn_finite(&mut self, name: impl Into<String>, work: impl Future<Output = ()> + Send + 'static) {
        self.start(Started { name: name.into(), is_finite: true }, work);
    }

    /// The shutdown that the tasks follow.
    pub(crate) fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    fn start(&mut self, started: Started, work: impl Future<Output = ()> + Send + 'static) {
        let id = self.running.spawn(work).id();
        self.started.insert(id, started);
    }

    /// Does `work`, and returns when it and all tasks have ended. `work` must end by itself after the soft end.
    ///
    /// When a task fails, this begins the soft end, gives the rest at most `grace`, and returns the first failure.
    ///
    /// # Errors
    /// A task failed, or the hard end of the shutdown came before everything had ended.
    pub async fn run(mut self, grace: Duration, work: impl Future<Output = ()>) -> Result<(), RunError> {
        let (first, failing) = (OnceLock::new(), CancellationToken::new());
        let shutdown = self.shutdown.clone();
        let supervised = async {
            while let Some(failure) = self.failure().await {
                tracing::error!(error = %failure, "a background task failed; the service stops");
                // Later failures follow from the first.
                let _later = first.set(failure);
                shutdown.draining.cancel();
                shutdown.soft.cancel();
                failing.cancel();
            }
        };
        let ended = shutdown.until_hard(async { tokio::join!(work, supervised) });
        let given_up = async {
            failing.cancelled().await;
            sleep(grace).await;
        };
        let ended = tokio::select! {
            ended = ended => ended.is_some(),
            () = given_up => false,
        };
        if !ended {
            shutdown.hard.cancel();
        }
        match first.into_inner() {
            Some(failure) => Err(failure),
            None if ended => Ok(()),
            None => Err(RunError::Overdue),
        }
    }

    /// The next failure; `None` when all tasks have ended.
    async fn failure(&mut self) -> Option<RunError> {
        loop {
            let ended = self.running.join_next_with_id().await?;
            let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
            let Started { name: task, is_finite } = self.started.remove(&id).expect("every task has a name");
            match ended {
                Ok(_) if is_finite || self.shutdown.soft.is_cancelled() => {}
                Ok(_) => return Some(RunError::EndedEarly { task }),
                Err(error) => {
                    let message = match error.try_into_panic() {
                        Ok(panic) => panics::message(&*panic).to_owned(),
                        Err(aborted) => aborted.to_string(),
                    };
                    return Some(RunError::Panicked { task, message });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
