//! Waiting for a state: by looking again and again, never by sleeping and hoping.

use std::time::{Duration, Instant};

/// How long a state may take to come about, on the slowest of machines.
pub const LIMIT: Duration = devstack::testing::DEADLINE;
const INTERVAL: Duration = Duration::from_millis(50);

/// Looks until it finds something, and returns that. `look` says in its error what it saw instead.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < deadline, "no {what} within {LIMIT:?}; at last: {seen}"),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
