//! The SQL of the schema `notify`, one file per concern. What must be atomic is one statement, or takes the transaction.

pub mod attempts;
pub mod audit;
pub mod breakers;
pub mod endpoints;
pub mod intake;
pub mod leases;
pub mod listings;
pub mod notifications;
pub mod parked;
pub mod retention;
pub mod retries;
pub mod trace;

use std::time::Duration;

use storage::{Database, Error, GenericClient, Preparation, parsed};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::Ladder;

mod migrations {
    refinery::embed_migrations!("migrations");
}

/// The schema that the notifier owns.
pub const SCHEMA: &str = "notify";

/// V5 adds columns to `endpoints`. PostgreSQL 15.20, 17.12 and later refuse that while the body of `hold_reason` depends on the
/// table's row type, as V1 wrote it; so it is replaced first. V6 replaces it where V5 has been applied.
const INDEPENDENT_HOLD_REASON: Preparation =
    Preparation { before: 5, sql: include_str!("../migrations/V6__independent_hold_reason.sql") };

/// Brings the schema up to date.
pub async fn migrate(database: &Database) -> Result<(), Error> {
    database.migrate_prepared(SCHEMA, migrations::migrations::runner(), &[INDEPENDENT_HOLD_REASON]).await
}

type Parameters<'a> = [&'a (dyn ToSql + Sync)];

async fn query(
    client: &impl GenericClient,
    statement: &str,
    parameters: &Parameters<'_>,
) -> Result<Vec<Row>, Error> {
    let statement = client.prepare_cached(statement).await?;
    Ok(client.query(&statement, parameters).await?)
}

async fn execute(
    client: &impl GenericClient,
    statement: &str,
    parameters: &Parameters<'_>,
) -> Result<u64, Error> {
    let statement = client.prepare_cached(statement).await?;
    Ok(client.execute(&statement, parameters).await?)
}

/// An endpoint's own delays, if it has some.
fn ladder(row: &Row) -> Result<Option<Ladder>, Error> {
    let delays: Option<Vec<i64>> = row.try_get("ladder_ms")?;
    delays.map(|delays| Ladder::from_millis(&delays)).transpose().map_err(Error::rejected)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
