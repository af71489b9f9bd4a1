//! The SQL of the schema `pay`, one file per table family, each statement beside its function.
//!
//! Functions that must be atomic with others take a `&Transaction`. Batches are written by set-based statements over
//! `UNNEST` arrays, sorted by key, so that concurrent batches lock in the same order.

pub(crate) mod audit;
pub(crate) mod callbacks;
pub(crate) mod closings;
pub(crate) mod contradictions;
pub(crate) mod events;
pub(crate) mod merchants;
pub(crate) mod new_pay_orders;
pub(crate) mod outbox;
pub(crate) mod pay_orders;
pub(crate) mod recharges;
pub(crate) mod refunds;
pub(crate) mod republish;
pub(crate) mod trace;
pub(crate) mod users;

use storage::partitions::Partitioned;
use storage::{Database, Error, Parsed};

mod migrations {
    refinery::embed_migrations!("migrations");
}

/// Brings the schema `pay` to the newest migration.
pub async fn migrate(database: &Database) -> Result<(), Error> {
    database.migrate("pay", migrations::migrations::runner()).await
}

/// The tables that are partitioned by day. Events stay while one of them is still to be published.
pub(crate) fn partitioned(retention_days: u16) -> Vec<Partitioned> {
    let keep_pending = "EXISTS (SELECT FROM pay.outbox_pending o WHERE o.event_id = p.event_id)";
    [("callbacks", None), ("events", Some(keep_pending))]
        .map(|(table, keep_if)| Partitioned { schema: "pay", table, retention_days, keep_if })
        .into()
}

#[cfg(test)]
mod tests;
