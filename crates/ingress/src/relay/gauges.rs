//! How far the broker is behind the database, and what waits for an operator.

use std::time::Duration;

use events::ContradictionReason;
use storage::Database;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Waiting;
use crate::store::contradictions::count_open;
use crate::store::outbox::{Backlog, backlog};

/// Counting reads the whole outbox, which is long after an outage.
const INTERVAL: Duration = Duration::from_secs(5);

/// Keeps the gauges of the outbox and of the contradictions current, until `cancel`, and tells `measured`. Every replica shows the
/// same.
pub(crate) async fn observe(
    database: Database,
    measured: watch::Sender<Option<Waiting>>,
    cancel: CancellationToken,
) {
    let mut waiting: Option<Waiting> = None;
    while !cancel.is_cancelled() {
        match measure(&database).await {
            Ok((backlog, open)) => {
                show(backlog);
                waiting = Some(Waiting::after(waiting, backlog.next, OffsetDateTime::now_utc()));
                measured.send_replace(waiting);
                show_open(&open);
            }
            // The readiness and the relay tell of it already.
            Err(error) => tracing::debug!(%error, "the outbox and the contradictions cannot be counted"),
        }
        cancel.run_until_cancelled(sleep(INTERVAL)).await;
    }
}

async fn measure(database: &Database) -> Result<(Backlog, Vec<(String, i64)>), storage::Error> {
    let client = database.client().await?;
    Ok((backlog(&client).await?, count_open(&client).await?))
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats; a count is far below 2^52")]
fn show(backlog: Backlog) {
    let age = backlog.oldest.map_or(0.0, |oldest| (OffsetDateTime::now_utc() - oldest).as_seconds_f64());
    metrics::gauge!("payrelay_outbox_pending").set(backlog.pending as f64);
    metrics::gauge!("payrelay_outbox_unroutable").set(backlog.unroutable as f64);
    metrics::gauge!("payrelay_outbox_oldest_age_seconds").set(age.max(0.0));
}

/// Every reason is shown, so that one that is settled goes back to zero.
#[expect(clippy::cast_precision_loss, reason = "gauges are floats; a count is far below 2^52")]
fn show_open(open: &[(String, i64)]) {
    for reason in ContradictionReason::ALL.map(ContradictionReason::as_str) {
        let count = open.iter().find(|(of, _)| of == reason).map_or(0, |(_, count)| *count);
        metrics::gauge!("payrelay_contradictions_open", "reason" => reason).set(count as f64);
    }
}
