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

use std::str::FromStr;
use std::time::Duration;

use storage::{Database, Error, GenericClient};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::Ladder;

mod migrations {
    refinery::embed_migrations!("migrations");
}

/// The schema that the notifier owns.
pub const SCHEMA: &str = "notify";

/// Brings the schema up to date.
pub async fn migrate(database: &Database) -> Result<(), Error> {
    database.migrate(SCHEMA, migrations::migrations::runner()).await
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

/// A column whose values a CHECK or our own writes keep to what `T` takes.
fn parsed<T: FromStr>(row: &Row, column: &str) -> Result<T, Error>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|error: T::Err| Error::Unavailable(Box::new(error)))
}

/// An endpoint's own delays, if it has some.
fn ladder(row: &Row) -> Result<Option<Ladder>, Error> {
    let delays: Option<Vec<i64>> = row.try_get("ladder_ms")?;
    Ok(delays.and_then(|delays| Ladder::from_millis(&delays).ok()))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
