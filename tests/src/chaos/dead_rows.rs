//! The largest number of dead rows in the tables that are used as queues: a figure, not a check.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::sleep;
use tokio_postgres::{Error, NoTls};

const INTERVAL: Duration = Duration::from_millis(500);
const SAMPLE: &str = "
    SELECT schemaname || '.' || relname, n_dead_tup FROM pg_stat_user_tables
    WHERE (schemaname, relname) IN (('pay', 'outbox_pending'), ('notify', 'notifications'))";

/// Samples until it is dropped.
pub(crate) struct DeadRows {
    most: Arc<Mutex<BTreeMap<String, i64>>>,
    sampling: AbortHandle,
}

impl DeadRows {
    pub(crate) fn sample(database_url: String) -> Self {
        let most = Arc::default();
        let sampled = Arc::clone(&most);
        let sampling = tokio::spawn(async move {
            loop {
                // PostgreSQL is killed now and then; the next sample follows.
                let _ = sample(&database_url, &sampled).await;
                sleep(INTERVAL).await;
            }
        });
        Self { most, sampling: sampling.abort_handle() }
    }

    /// By table.
    pub(crate) fn most(&self) -> BTreeMap<String, i64> {
        self.most.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for DeadRows {
    fn drop(&mut self) {
        self.sampling.abort();
    }
}

/// Samples over one connection until that fails.
async fn sample(database_url: &str, most: &Mutex<BTreeMap<String, i64>>) -> Result<(), Error> {
    let (client, connection) = tokio_postgres::connect(database_url, NoTls).await?;
    tokio::spawn(connection);
    loop {
        for row in client.query(SAMPLE, &[]).await? {
            let (table, dead): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
            let mut most = most.lock().unwrap_or_else(PoisonError::into_inner);
            let largest = most.entry(table).or_default();
            *largest = dead.max(*largest);
        }
        sleep(INTERVAL).await;
    }
}
