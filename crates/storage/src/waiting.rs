//! Waiting for a server that is away.

use std::future::Future;
use std::time::Duration;

use tokio::time::sleep;

use crate::Error;

/// Between the first tries, then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_secs(3);

/// Repeats `attempt` until it succeeds, for as long as the server is away: for what a service does before it takes work. Whoever has less
/// patience drops the future. Logs why it waits, once for every other reason, and that it waits no more.
///
/// # Errors
/// Whatever time alone does not mend: a URL that cannot be used, a migration that fails, and what [`Error::is_misconfigured`] says.
pub async fn until_available<T, F>(attempt: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut told = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match Box::pin(attempt()).await {
            Err(error) if error.is_outage() && !error.is_misconfigured() => error.to_string(),
            done => {
                if told.is_some() && done.is_ok() {
                    tracing::info!("the database is available");
                }
                return done;
            }
        };
        if told.as_ref() != Some(&error) {
            tracing::warn!(%error, "waiting for the database");
            told = Some(error);
        }
        sleep(pause.mul_f64(rand::random_range(0.9..1.1))).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}
