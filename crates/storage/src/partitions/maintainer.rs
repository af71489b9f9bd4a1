//! Carrying out the plan on the server.

use std::collections::BTreeSet;
use std::time::Duration;

use deadpool_postgres::{GenericClient, Transaction};
use time::{Date, OffsetDateTime};
use tokio_util::sync::CancellationToken;

use super::plan::{Plan, partition_day, partition_name, plan};
use super::{Partitioned, quote};
use crate::{Database, Error};

/// Pause between two passes when all is well.
const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Pause after a pass that left something undone.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// Creating and dropping lock the whole table: while they wait, everybody waits behind them.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '1s'";
/// Partitions that are created in one transaction: it keeps the locks of all of them, and the server has room for some
/// thousands in all (`max_locks_per_transaction`), which years of retention would fill.
const CREATED_AT_ONCE: usize = 100;
/// One replica at a time maintains a table; the others find the work done.
const LOCK_MAINTENANCE: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended('payrelay.partitions.' || $1::text, 0))";
const LIST: &str = "SELECT c.relname::text
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = $1::text::regclass";

/// What one pass did, as qualified partition names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Partitions that were created.
    pub created: Vec<String>,
    /// Expired partitions that were dropped.
    pub dropped: Vec<String>,
    /// Expired partitions that stay, because `keep_if` still finds a row in them.
    pub kept: Vec<String>,
    /// Tables and partitions whose lock was not free in time: the next pass tries again.
    pub postponed: Vec<String>,
}

/// Keeps the partitions of some tables, of any schemas in one database, in step with the calendar.
#[derive(Debug, Clone)]
pub struct Maintainer {
    database: Database,
    tables: Vec<Partitioned>,
}

impl Maintainer {
    /// A maintainer of `tables`.
    pub fn new(database: Database, tables: Vec<Partitioned>) -> Self {
        Self { database, tables }
    }

    /// One pass as of `now`: creates what is missing from the oldest day of the retention to three days ahead, and drops
    /// what is older. Services do one before they take work. Replicas may do it at once.
    pub async fn maintain(&self, now: OffsetDateTime) -> Result<Report, Error> {
        let today = now.to_offset(time::UtcOffset::UTC).date();
        let mut report = Report::default();
        for table in &self.tables {
            for day in self.create(table, today, &mut report).await? {
                self.drop_expired(table, day, &mut report).await?;
            }
        }
        Ok(report)
    }

    /// Maintains every hour, sooner after a failure, until `cancel`.
    pub async fn run(&self, cancel: &CancellationToken) {
        while !cancel.is_cancelled() {
            let pause = match self.maintain(OffsetDateTime::now_utc()).await {
                Ok(report) => {
                    if report != Report::default() {
                        tracing::info!(?report, "partitions maintained");
                    }
                    if report.postponed.is_empty() { INTERVAL } else { RETRY_INTERVAL }
                }
                Err(error) => {
                    tracing::error!(%error, "partitions could not be maintained");
                    RETRY_INTERVAL
                }
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Creates what is missing and returns the days that have expired.
    async fn create(
        &self,
        table: &Partitioned,
        today: Date,
        report: &mut Report,
    ) -> Result<Vec<Date>, Error> {
        loop {
            match self
                .database
                .transaction(|tx| Box::pin(async move { create_missing(&tx, table, today).await }))
                .await
            {
                Ok(plan) => {
                    report.created.extend(plan.create.iter().map(|day| display_name(table, *day)));
                    if plan.create.len() < CREATED_AT_ONCE {
                        return Ok(plan.drop);
                    }
                    tracing::info!(
                        table = table.table,
                        created = plan.create.len(),
                        "partitions created, more are to come"
                    );
                }
                Err(Error::Retryable(_)) => {
                    report.postponed.push(format!("{}.{}", table.schema, table.table));
                    return Ok(Vec::new());
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn drop_expired(&self, table: &Partitioned, day: Date, report: &mut Report) -> Result<(), Error> {
        let name = display_name(table, day);
        match self
            .database
            .transaction(|tx| Box::pin(async move { drop_unless_kept(&tx, table, day).await }))
            .await
        {
            Ok(true) => report.dropped.push(name),
            Ok(false) => report.kept.push(name),
            Err(Error::Retryable(_)) => report.postponed.push(name),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// The partitions of `today` and tomorrow that a table lacks, as qualified names.
pub(crate) async fn missing(
    client: &impl GenericClient,
    table: &Partitioned,
    today: Date,
) -> Result<Vec<String>, Error> {
    let existing = existing_days(client, table, &qualified(table.schema, table.table)).await?;
    let needed = [Some(today), today.next_day()].into_iter().flatten();
    Ok(needed.filter(|day| !existing.contains(day)).map(|day| display_name(table, day)).collect())
}

/// Creates up to [`CREATED_AT_ONCE`], the newest, for those are needed first; says which.
async fn create_missing(tx: &Transaction<'_>, table: &Partitioned, today: Date) -> Result<Plan, Error> {
    let parent = qualified(table.schema, table.table);
    tx.batch_execute(LOCK_TIMEOUT).await?;
    tx.execute(LOCK_MAINTENANCE, &[&parent]).await?;
    let mut plan = plan(table, &existing_days(tx, table, &parent).await?, today);
    plan.create.drain(..plan.create.len().saturating_sub(CREATED_AT_ONCE));
    for day in &plan.create {
        tx.batch_execute(&create_statement(table, *day)).await?;
    }
    Ok(plan)
}

/// Drops a partition, unless a row of it must stay. True when it is gone.
async fn drop_unless_kept(tx: &Transaction<'_>, table: &Partitioned, day: Date) -> Result<bool, Error> {
    let partition = qualified(table.schema, &partition_name(table.table, day));
    tx.batch_execute(LOCK_TIMEOUT).await?;
    tx.execute(LOCK_MAINTENANCE, &[&qualified(table.schema, table.table)]).await?;
    if tx.query_one("SELECT to_regclass($1::text) IS NULL", &[&partition]).await?.get(0) {
        return Ok(true);
    }
    if let Some(keep_if) = table.keep_if {
        // Nobody may add such a row between the look and the drop.
        tx.batch_execute(&format!("LOCK TABLE {partition} IN SHARE ROW EXCLUSIVE MODE")).await?;
        let look = format!("SELECT EXISTS (SELECT FROM {partition} p WHERE {keep_if})");
        if tx.query_one(&look, &[]).await?.get(0) {
            return Ok(false);
        }
    }
    tx.batch_execute(&format!("DROP TABLE {partition}")).await?;
    Ok(true)
}

async fn existing_days(
    client: &impl GenericClient,
    table: &Partitioned,
    parent: &str,
) -> Result<BTreeSet<Date>, Error> {
    let rows = client.query(LIST, &[&parent]).await?;
    Ok(rows.iter().filter_map(|row| partition_day(table.table, row.get(0))).collect())
}

/// The literals are taken as UTC midnights by a `timestamptz` column, for every session is in UTC.
fn create_statement(table: &Partitioned, day: Date) -> String {
    let next = day.next_day().unwrap_or(day);
    format!(
        "CREATE TABLE {} PARTITION OF {} FOR VALUES FROM ('{day}') TO ('{next}')",
        qualified(table.schema, &partition_name(table.table, day)),
        qualified(table.schema, table.table),
    )
}

fn qualified(schema: &str, table: &str) -> String {
    format!("{}.{}", quote(schema), quote(table))
}

fn display_name(table: &Partitioned, day: Date) -> String {
    format!("{}.{}", table.schema, partition_name(table.table, day))
}
