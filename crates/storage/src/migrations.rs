//! Migrations, each service its own schema.

use refinery::error::Kind;
use refinery::{Migration, Runner, Target};
use tokio_postgres::Client;

use crate::error::is_server_away;
use crate::partitions::quote;
use crate::session::Session;
use crate::{Database, Error, blocked};

/// Migrations may take long; waiting for the lock of another replica or of a table may not take for ever.
const SETTINGS: &str = "SET statement_timeout = 0; SET lock_timeout = '5min'";
/// Held while a schema is migrated, so that replicas that start together do it one after the other.
const LOCK: &str = "SELECT pg_advisory_lock(hashtextextended('payrelay.migrate.' || $1::text, 0))";

/// SQL that must have run before a migration of the same schema, because servers newer than that migration refuse it otherwise.
/// A migration that has landed stays as it is: databases that have it would refuse another text.
#[derive(Debug, Clone, Copy)]
pub struct Preparation {
    /// The version of the migration.
    pub before: i32,
    /// Safe to run more than once.
    pub sql: &'static str,
}

impl Database {
    /// Brings `schema` to the newest migration of `runner`: creates the schema and, inside it, the table
    /// `schema_history`. Replicas that call it at once wait for one another; a second run changes nothing.
    /// Migrations name the schema in every statement, for the search path is the server's.
    ///
    /// A database with newer migrations than the binary's is left as it is, if it has all of the binary's unchanged: so
    /// a release can be rolled back.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the server cannot be reached, [`Error::Migration`] when a migration fails, was edited
    /// after it had been applied, or is missing from the binary or the database.
    pub async fn migrate(&self, schema: &str, runner: Runner) -> Result<(), Error> {
        self.migrate_prepared(schema, runner, &[]).await
    }

    /// The same, with each of `preparations`, in the order of their versions, run before the migration that it prepares, unless
    /// that is applied already.
    ///
    /// # Errors
    /// Those of [`Database::migrate`].
    pub async fn migrate_prepared(
        &self,
        schema: &str,
        mut runner: Runner,
        preparations: &[Preparation],
    ) -> Result<(), Error> {
        let mut session = self.session().await?;
        let migrated = self.migrate_by(&mut session, schema, &mut runner, preparations).await;
        session.end().await;
        migrated
    }

    async fn migrate_by(
        &self,
        session: &mut Session,
        schema: &str,
        runner: &mut Runner,
        preparations: &[Preparation],
    ) -> Result<(), Error> {
        session.client.batch_execute(SETTINGS).await?;
        blocked::lock_migrations(self, session, LOCK, schema).await?;
        let history = format!("{}.schema_history", quote(schema));
        runner.set_migration_table_name(&history);
        let (pid, client) = (session.pid, &mut **session.client);
        let migrating = async {
            client.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {}", quote(schema))).await?;
            for preparation in preparations {
                let target = Target::Version(preparation.before - 1);
                let mut earlier = Runner::new(runner.get_migrations()).set_target(target);
                earlier.set_migration_table_name(&history);
                run(client, schema, &earlier).await?;
                if version(client, schema, runner).await? < preparation.before {
                    client.batch_execute(preparation.sql).await?;
                }
            }
            run(client, schema, runner).await
        };
        blocked::telling(self, pid, &format!("a migration of the schema {schema}"), migrating).await
    }
}

/// Applies what is missing, up to the runner's target.
async fn run(client: &mut Client, schema: &str, runner: &Runner) -> Result<(), Error> {
    let report = match runner.run_async(client).await {
        Ok(report) => report,
        Err(error) if is_newer(&error, runner) => return check_newer(client, schema, runner, error).await,
        Err(error) => return Err(failed(schema, error)),
    };
    for migration in report.applied_migrations() {
        tracing::info!(schema, %migration, "migration applied");
    }
    Ok(())
}

/// Whether the database has a migration newer than all of the binary's. Whatever it has of the binary's is unchanged then, for
/// refinery compares in the order of versions.
fn is_newer(error: &refinery::Error, runner: &Runner) -> bool {
    let newest = runner.get_migrations().iter().map(Migration::version).max();
    matches!(error.kind(), Kind::MissingVersion(missing) if Some(missing.version()) > newest)
}

/// Whether a database with newer migrations has all of the binary's, too; otherwise `error` stands.
async fn check_newer(
    client: &mut Client,
    schema: &str,
    runner: &Runner,
    error: refinery::Error,
) -> Result<(), Error> {
    let applied = applied(client, schema, runner).await?;
    if !runner.get_migrations().iter().all(|migration| applied.contains(migration)) {
        return Err(failed(schema, error));
    }
    let newest = applied.last().map(ToString::to_string);
    tracing::info!(
        schema,
        newest,
        "the database has newer migrations than this release knows; left as it is"
    );
    Ok(())
}

/// The newest version that is applied; 0 in a new database.
async fn version(client: &mut Client, schema: &str, runner: &Runner) -> Result<i32, Error> {
    Ok(applied(client, schema, runner).await?.last().map_or(0, Migration::version))
}

async fn applied(client: &mut Client, schema: &str, runner: &Runner) -> Result<Vec<Migration>, Error> {
    runner.get_applied_migrations_async(client).await.map_err(|error| failed(schema, error))
}

fn failed(schema: &str, cause: refinery::Error) -> Error {
    if is_server_away(&cause) { Error::unavailable(cause) } else { Error::migration(schema, cause) }
}
