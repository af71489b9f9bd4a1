//! What is kept no longer than it is needed.

use std::future::Future;
use std::time::Duration;

use storage::partitions::{Maintainer, Partitioned};
use storage::{Database, Error};
use time::OffsetDateTime;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Between two looks at what has expired beside the partitions.
const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Creates the partitions of the next days, and drops those that have expired, before any work is taken.
///
/// # Errors
/// Those of the database.
pub async fn prepare_partitions(database: &Database, tables: Vec<Partitioned>) -> Result<(), Error> {
    Maintainer::new(database.clone(), tables).maintain(OffsetDateTime::now_utc()).await.map(drop)
}

/// Keeps the partitions of `tables` within their retention, until `cancel`.
pub async fn keep_partitions(database: &Database, tables: Vec<Partitioned>, cancel: &CancellationToken) {
    Maintainer::new(database.clone(), tables).run(cancel).await;
}

/// Removes what has expired beside the partitions, now and every hour, until `cancel`. `remove` says how much that was, and
/// `what` names it in the log.
pub async fn remove_hourly<F>(what: &str, cancel: &CancellationToken, remove: impl Fn() -> F)
where
    F: Future<Output = Result<u64, Error>>,
{
    loop {
        match remove().await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, what, "expired and removed"),
            Err(error) => tracing::error!(%error, what, "could not be removed"),
        }
        if cancel.run_until_cancelled(sleep(INTERVAL)).await.is_none() {
            return;
        }
    }
}
