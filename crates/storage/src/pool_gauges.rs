//! How busy the pool of connections is.

use std::time::Duration;

use deadpool_postgres::Status;
use metrics::gauge;
use tokio_util::sync::CancellationToken;

use crate::Database;

const INTERVAL: Duration = Duration::from_secs(1);

impl Database {
    /// Keeps the gauges of the pool current until `cancel`; `pool` names it, for a process may have several.
    pub async fn observe(self, pool: &'static str, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            show(pool, &self.status());
            cancel.run_until_cancelled(tokio::time::sleep(INTERVAL)).await;
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats; a pool is far below 2^52 connections")]
fn show(pool: &'static str, status: &Status) {
    let in_use = status.size.saturating_sub(status.available);
    gauge!("payrelay_database_connections", "pool" => pool, "state" => "in_use").set(in_use as f64);
    gauge!("payrelay_database_connections", "pool" => pool, "state" => "idle").set(status.available as f64);
    gauge!("payrelay_database_connections_limit", "pool" => pool).set(status.max_size as f64);
    gauge!("payrelay_database_connection_waiters", "pool" => pool).set(status.waiting as f64);
}
