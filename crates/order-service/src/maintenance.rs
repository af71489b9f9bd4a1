//! What is kept no longer than the retention.

use runtime::{keep_partitions, remove_hourly};
use storage::Database;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::store::{handled_table, parked};

/// Keeps the log of handled events and the parked messages within the retention, until `cancel`.
pub(crate) async fn run(database: Database, retention_days: u16, cancel: CancellationToken) {
    tokio::join!(
        keep_partitions(&database, vec![handled_table(retention_days)], &cancel),
        remove_hourly("parked messages", &cancel, || {
            parked::prune(&database, OffsetDateTime::now_utc(), retention_days)
        }),
    );
}
