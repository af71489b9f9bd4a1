//! Migrations, each service its own schema.

use refinery::Runner;

use crate::error::is_server_away;
use crate::partitions::quote;
use crate::{Database, Error};

/// Migrations may take long; waiting for the lock of another replica or of a table may not take for ever.
const SETTINGS: &str = "SET statement_timeout = 0; SET lock_timeout = '5min'";
/// Held while a schema is migrated, so that replicas that start together do it one after the other.
const LOCK: &str = "SELECT pg_advisory_lock(hashtextextended('payrelay.migrate.' || $1::text, 0))";

impl Database {
    /// Brings `schema` to the newest migration of `runner`: creates the schema and, inside it, the table
    /// `schema_history`. Replicas that call it at once wait for one another; a second run changes nothing.
    /// Migrations name the schema in every statement, for the search path is the server's.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the server cannot be reached, [`Error::Migration`] when a migration fails, was edited
    /// after it had been applied, or is missing from the binary.
    pub async fn migrate(&self, schema: &str, mut runner: Runner) -> Result<(), Error> {
        let mut session = self.session().await?;
        session.client.batch_execute(SETTINGS).await?;
        session.client.execute(LOCK, &[&schema]).await?;
        session.client.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {}", quote(schema))).await?;
        runner.set_migration_table_name(format!("{}.schema_history", quote(schema)));
        let report = runner.run_async(&mut session.client).await.map_err(|source| {
            if is_server_away(&source) {
                Error::unavailable(source)
            } else {
                Error::Migration { schema: schema.to_owned(), source }
            }
        })?;
        for migration in report.applied_migrations() {
            tracing::info!(schema, %migration, "migration applied");
        }
        Ok(())
    }
}
