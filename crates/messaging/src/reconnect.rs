//! Waiting between tries, the one place that knows the `backoff` crate.

use std::fmt::Display;
use std::time::Duration;

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

/// Tries until it works; `None` when `cancel` came first. The first failure is logged as a warning, the following
/// ones for debugging only.
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
    let mut failures = 0_u32;
    loop {
        let result = tokio::select! {
            result = attempt() => result,
            () = cancel.cancelled() => return None,
        };
        match result {
            Ok(value) => return Some(value),
            Err(error) if failures == 0 => {
                tracing::warn!(%error, "{what} failed, trying again until it works");
            }
            Err(error) => tracing::debug!(%error, failures, "{what} failed again"),
        }
        failures = failures.saturating_add(1);
        if !backoff.wait(cancel).await {
            return None;
        }
    }
}
