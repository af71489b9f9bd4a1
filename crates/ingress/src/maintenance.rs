//! What is kept no longer than it is needed.

use std::time::Duration;

use storage::partitions::Maintainer;
use storage::{Database, Error};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::store::{self, merchants};

/// Between two looks at what has expired beside the partitions.
const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Creates the partitions of the next days, and drops those that have expired, before any request is taken.
pub(crate) async fn prepare(database: &Database, retention_days: u16) -> Result<(), Error> {
    maintainer(database, retention_days).maintain(OffsetDateTime::now_utc()).await.map(drop)
}

/// Keeps callbacks and events within the retention, and forgets API keys that have ended, until `cancel`.
pub(crate) async fn run(database: Database, retention_days: u16, cancel: CancellationToken) {
    tokio::join!(
        async { maintainer(&database, retention_days).run(&cancel).await },
        forget_ended_keys(&database, &cancel),
    );
}

fn maintainer(database: &Database, retention_days: u16) -> Maintainer {
    Maintainer::new(database.clone(), store::partitioned(retention_days))
}

async fn forget_ended_keys(database: &Database, cancel: &CancellationToken) {
    loop {
        match merchants::forget_ended_keys(database, OffsetDateTime::now_utc()).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::info!(forgotten, "replaced API keys ended"),
            Err(error) => tracing::error!(%error, "API keys that have ended could not be removed"),
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}
