//! What is kept no longer than it is needed.

use runtime::{keep_partitions, remove_hourly};
use storage::Database;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::store::{self, merchants};

/// Keeps callbacks and events within the retention, and forgets API keys that have ended, until `cancel`.
pub(crate) async fn run(database: Database, retention_days: u16, cancel: CancellationToken) {
    tokio::join!(
        keep_partitions(&database, store::partitioned(retention_days), &cancel),
        remove_hourly("replaced API keys", &cancel, || {
            merchants::forget_ended_keys(&database, OffsetDateTime::now_utc())
        }),
    );
}
