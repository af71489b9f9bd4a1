//! Waiting between tries, the one place that knows the `backoff` crate.

use std::fmt::Display;
use std::time::{Duration, Instant};

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;
use tokio_util::sync::CancellationToken;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Exponential waits with jitter that never give up: 0.1 s, 0.2 s, … up to 5 s, each ±50 %.
#[derive(Debug)]
pub struct Backoff(ExponentialBackoff);

impl Default for Backoff {
    fn default() -> Self {
        let mut backoff = ExponentialBackoff {
            initial_interval: FIRST_WAIT,
            multiplier: 2.0,
            max_interval: LONGEST_WAIT,
            // The crate's own default gives up after 15 minutes.
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        backoff.reset();
        Self(backoff)
    }
}

impl Backoff {
    /// The next try follows soon again.
    pub fn reset(&mut self) {
        self.0.reset();
    }

    /// Waits before the next try; false when `cancel` came first.
    pub async fn wait(&mut self, cancel: &CancellationToken) -> bool {
        let wait = self.0.next_backoff().unwrap_or(LONGEST_WAIT);
        tokio::select! {
            () = tokio::time::sleep(wait) => true,
            () = cancel.cancelled() => false,
        }
    }
}

/// How often a failure that stays the same is logged again.
const REMINDER: Duration = Duration::from_secs(60);

/// Tries until it works; `None` when `cancel` came first. A failure is logged as a warning when it comes, when it becomes
/// another one, and every minute; for debugging in between.
pub async fn until_ok<T, E, F>(
    what: &str,
    cancel: &CancellationToken,
    mut attempt: impl FnMut() -> F,
) -> Option<T>
where
    E: Display,
    F: Future<Output = Result<T, E>>,
{
    let mut backoff = Backoff::default();
    let mut logged: Option<(String, Instant)> = None;
    loop {
        let result = tokio::select! {
            result = attempt() => result,
            () = cancel.cancelled() => return None,
        };
        let error = match result {
            Ok(value) => return Some(value),
            Err(error) => error.to_string(),
        };
        match &logged {
            Some((known, at)) if *known == error && at.elapsed() < REMINDER => {
                tracing::debug!(error, "{what} failed again");
            }
            _ => {
                tracing::warn!(error, "{what} failed, trying again until it works");
                logged = Some((error, Instant::now()));
            }
        }
        if !backoff.wait(cancel).await {
            return None;
        }
    }
}
