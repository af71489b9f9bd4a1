//! What is kept for how long.

use storage::partitions::Partitioned;
use storage::{Error, GenericClient};
use time::OffsetDateTime;

use super::{SCHEMA, execute};

/// Rows per statement: short transactions, so that vacuum keeps up.
const BATCH: u64 = 1000;

/// The tables that are partitioned by day.
pub fn partitioned(retention_days: u16) -> Vec<Partitioned> {
    ["handled", "attempts"]
        .map(|table| Partitioned { schema: SCHEMA, table, retention_days, keep_if: None })
        .into()
}

const PRUNE_BODIES: &str = "
UPDATE notify.notifications SET body = NULL, url = NULL, traceparent = NULL
WHERE notification_id IN (
    SELECT notification_id FROM notify.notifications
    WHERE status = 'DELIVERED' AND body IS NOT NULL AND finished_at < $1 ORDER BY finished_at LIMIT 1000)";

const PRUNE_PARKED: &str = "
DELETE FROM notify.parked WHERE (message_key, queue) IN (
    SELECT message_key, queue FROM notify.parked WHERE parked_at < $1 ORDER BY parked_at LIMIT 1000)";

/// Prunes the bulky columns of notifications delivered before `cutoff`, and forgets dead letters of before it. What guards
/// against telling twice, the event key, is kept for ever.
pub async fn prune(client: &impl GenericClient, cutoff: OffsetDateTime) -> Result<(), Error> {
    for statement in [PRUNE_BODIES, PRUNE_PARKED] {
        while execute(client, statement, &[&cutoff]).await? == BATCH {}
    }
    Ok(())
}
