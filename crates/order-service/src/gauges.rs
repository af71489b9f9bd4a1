//! What waits for an operator.

use std::time::Duration;

use storage::Database;
use tokio_util::sync::CancellationToken;

use crate::store::contradictions::{Reason, count_open};

const INTERVAL: Duration = Duration::from_secs(5);

/// Keeps the gauge of the open contradictions current, until `cancel`. Every replica shows the same.
pub(crate) async fn observe(database: Database, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        match count_open(&database).await {
            Ok(open) => show(&open),
            // The readiness tells of it already.
            Err(error) => tracing::debug!(%error, "the contradictions cannot be counted"),
        }
        cancel.run_until_cancelled(tokio::time::sleep(INTERVAL)).await;
    }
}

/// Every reason is shown, so that one that is settled goes back to zero.
#[expect(clippy::cast_precision_loss, reason = "gauges are floats; a count is far below 2^52")]
fn show(open: &[(String, i64)]) {
    for reason in Reason::ALL.map(Reason::as_str) {
        let count = open.iter().find(|(of, _)| of == reason).map_or(0, |(_, count)| *count);
        metrics::gauge!("payrelay_contradictions_open", "reason" => reason).set(count as f64);
    }
}
