//! Every metric of this crate. A test compares this table with what the sources record.

use metrics::{Unit, describe_gauge, describe_histogram, histogram};

/// Describes the metrics. Call it after the recorder is installed.
pub fn describe_metrics() {
    describe_histogram!(
        "payrelay_batch_items",
        Unit::Count,
        "Items that were written as one batch, by batcher."
    );
    describe_histogram!("payrelay_batch_seconds", Unit::Seconds, "Seconds to write a batch, by batcher.");
    describe_gauge!(
        "payrelay_database_connections",
        Unit::Count,
        "Connections of the pool, by state: in_use or idle."
    );
    describe_gauge!(
        "payrelay_database_connections_limit",
        Unit::Count,
        "Most connections that the pool opens."
    );
    describe_gauge!(
        "payrelay_database_connection_waiters",
        Unit::Count,
        "Tasks that wait for a connection of the pool."
    );
}

/// Starts what is measured by batcher.
pub(crate) fn start_batcher(name: &'static str) {
    let _registered = histogram!("payrelay_batch_items", "batcher" => name);
    let _registered = histogram!("payrelay_batch_seconds", "batcher" => name);
}
