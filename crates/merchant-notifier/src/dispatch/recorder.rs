//! Recording attempts: what was acknowledged in batches, what failed one by one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use storage::{Batcher, BatcherOptions, Database, Error, Writers};

use super::outcome::ENDPOINT_DISABLED;
use crate::store::attempts::{self, Attempt, Ended, Next, Recorded};
use crate::store::endpoints;
use crate::store::leases::Claimed;

/// From one batch to the next, unless it was large. The merchant has it already, and may get the next.
const PACE: Duration = Duration::from_millis(20);
/// Before another try.
const RECORD_PAUSE: Duration = Duration::from_millis(500);

/// Writes down what became of attempts. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Recorder {
    database: Database,
    /// Almost everything is acknowledged, so this is where a statement for each would cost most.
    acknowledged: Batcher<Ended, Result<Option<Recorded>, Arc<Error>>>,
}

impl Recorder {
    /// The recorder and its task, to be run.
    pub(super) fn new(database: Database) -> (Self, Writers) {
        let writer = database.clone();
        // One writer: nobody waits for it but workers, so the batches may be as large as they become.
        let options = BatcherOptions { writers: 1, pace: PACE..=PACE, ..BatcherOptions::new("attempts") };
        let (acknowledged, writers) = Batcher::new(&options, move |ended: Vec<Ended>| {
            let database = writer.clone();
            async move {
                let written =
                    async { attempts::record_acknowledged(&database.client().await?, &ended).await }.await;
                match written {
                    Ok(recorded) => recorded.into_iter().map(Ok).collect(),
                    Err(error) => {
                        let error = Arc::new(error);
                        ended.iter().map(|_| Err(Arc::clone(&error))).collect()
                    }
                }
            }
        });
        (Self { database, acknowledged }, writers)
    }

    /// Records what is queued, then ends.
    pub(super) async fn shutdown(&self) {
        self.acknowledged.shutdown().await;
    }

    /// Records until it works or the lease is over: an attempt that is not recorded will be made again.
    pub(super) async fn record(&self, claimed: &Claimed, attempt: &Attempt) -> bool {
        let id = claimed.notification_id;
        if attempt.next == Next::Delivered {
            match self.acknowledged.submit(Ended::new(claimed, attempt)).await {
                Ok(Ok(Some(recorded))) => {
                    report(claimed, recorded);
                    return true;
                }
                // The lease was lost, or a batch before was written without our hearing of it: below it is found out.
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::debug!(%error, notification_id = %id, "not recorded in a batch"),
                Err(error) => tracing::debug!(%error, notification_id = %id, "not recorded in a batch"),
            }
        }
        while Instant::now() < claimed.expires_at() {
            match self.try_record(claimed, attempt).await {
                Ok(Some(recorded)) => {
                    report(claimed, recorded);
                    return true;
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, notification_id = %id, "an attempt could not be recorded, trying again");
                    tokio::time::sleep(RECORD_PAUSE).await;
                }
            }
        }
        tracing::warn!(notification_id = %id, "the lease ended before the attempt was recorded");
        false
    }

    async fn try_record(&self, claimed: &Claimed, attempt: &Attempt) -> Result<Option<Recorded>, Error> {
        let client = self.database.client().await?;
        let gone = attempt.next == Next::Park { reason: ENDPOINT_DISABLED };
        // First, so that a crash in between leaves nothing that would be resumed at once.
        if gone && endpoints::disable(&client, &claimed.merchant_id, &claimed.url).await? {
            tracing::warn!(merchant_id = %claimed.merchant_id, "endpoint disabled, for it answered 410");
        }
        let recorded = attempts::record(&client, claimed, attempt).await?;
        if gone {
            endpoints::settle(&client).await?;
        }
        Ok(recorded)
    }
}

fn report(claimed: &Claimed, recorded: Recorded) {
    let merchant_id = &claimed.merchant_id;
    if recorded.opened {
        counter!("payrelay_breaker_openings_total").increment(1);
        tracing::warn!(%merchant_id, "breaker opened: nothing is sent to this merchant but one probe at a time");
    }
    if recorded.closed {
        tracing::info!(%merchant_id, "breaker closed: the merchant acknowledges again");
    }
}
