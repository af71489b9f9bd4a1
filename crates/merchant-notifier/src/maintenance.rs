//! What is done now and then: notifications brought in step with their endpoints, open breakers counted, old data pruned.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use storage::{Database, Error};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::store::{breakers, endpoints, retention};

/// For what slipped between a change of an endpoint and a notification made at the same moment.
const SETTLE_INTERVAL: Duration = Duration::from_secs(5);
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);

/// Maintains until `cancel`; `wake` is notified when notifications are resumed.
pub async fn run(database: &Database, retention_days: u16, wake: &Arc<Notify>, cancel: &CancellationToken) {
    let mut ticks = interval(SETTLE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pruned: Option<Instant> = None;
    while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        let due = pruned.is_none_or(|at| at.elapsed() >= PRUNE_INTERVAL);
        let maintained = maintain(database, due.then_some(retention_days), OffsetDateTime::now_utc());
        // What has to be pruned after a long time may take longer than the grace of a shutdown.
        let Some(maintained) = cancel.run_until_cancelled(maintained).await else { return };
        match maintained {
            Ok(resumed) => {
                if due {
                    pruned = Some(Instant::now());
                }
                if resumed > 0 {
                    wake.notify_one();
                }
            }
            // Those who cannot go on without the database say so themselves.
            Err(error) => tracing::debug!(%error, "maintenance failed, trying again"),
        }
    }
}

/// One pass; prunes what is older than `retention_days` at `now`, if given. Returns how many notifications were resumed.
pub async fn maintain(
    database: &Database,
    retention_days: Option<u16>,
    now: OffsetDateTime,
) -> Result<u64, Error> {
    let client = database.client().await?;
    // First, for who waits for his endpoint does not wait for a prune, nor for one that fails.
    let resumed = endpoints::settle(&client).await?;
    let holding = breakers::holding(&client).await?;
    #[expect(clippy::cast_precision_loss, reason = "a count of merchants")]
    gauge!("payrelay_breakers_open").set(holding.count as f64);
    let open_for = holding.oldest.map_or(0.0, |since| (now - since).as_seconds_f64());
    gauge!("payrelay_breaker_open_seconds").set(open_for);
    if let Some(days) = retention_days {
        retention::prune(&client, now - time::Duration::days(days.into())).await?;
    }
    Ok(resumed)
}
