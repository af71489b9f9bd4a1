//! What is kept no longer than the retention.

use std::time::Duration;

use storage::{Database, Error, partitions::Maintainer};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::store::{handled_table, parked};

/// Between two looks at what has expired of the parked messages.
const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Creates the partitions that events of the retention and of the next days fall into, before any is taken.
pub(crate) async fn prepare(database: &Database, retention_days: u16) -> Result<(), Error> {
    maintainer(database, retention_days).maintain(OffsetDateTime::now_utc()).await.map(drop)
}

/// Keeps the log of handled events and the parked messages within the retention, until `cancel`.
pub(crate) async fn run(database: Database, retention_days: u16, cancel: CancellationToken) {
    tokio::join!(
        async { maintainer(&database, retention_days).run(&cancel).await },
        prune(&database, retention_days, &cancel),
    );
}

fn maintainer(database: &Database, retention_days: u16) -> Maintainer {
    Maintainer::new(database.clone(), vec![handled_table(retention_days)])
}

async fn prune(database: &Database, retention_days: u16, cancel: &CancellationToken) {
    loop {
        match parked::prune(database, OffsetDateTime::now_utc(), retention_days).await {
            Ok(0) => {}
            Ok(pruned) => tracing::info!(pruned, "parked messages expired"),
            Err(error) => tracing::error!(%error, "expired parked messages could not be pruned"),
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}
