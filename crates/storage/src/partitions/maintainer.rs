//! Carrying out the plan on the server.

use std::time::Duration;

use deadpool_postgres::{GenericClient, Transaction};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, OffsetDateTime, UtcOffset};
use tokio_util::sync::CancellationToken;

use super::plan::{Partition, Plan, plan, uncovered};
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
/// Partitions and their bounds, whatever they are named. A bound is shown in the zone of the session, with its offset, and read
/// back as the same instant; that of a `date` has none.
const LIST: &str = r"
    SELECT name, instants[1], instants[2]
    FROM (SELECT c.relname::text AS name,
              regexp_match(pg_get_expr(c.relpartbound, c.oid), '^FOR VALUES FROM \((.*)\) TO \((.*)\)$') AS bounds
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::text::regclass) AS partitions,
        LATERAL (SELECT array_agg(CASE
                WHEN bound IN ('MINVALUE', '-infinity') THEN '0001-01-01 00:00:00+00'
                WHEN bound IN ('MAXVALUE', 'infinity') THEN '9999-12-31 00:00:00+00'
                WHEN bound ~ '^\d+-\d\d-\d\d$' THEN bound || ' 00:00:00+00'
                ELSE bound END::timestamptz ORDER BY position) AS instants
            FROM (SELECT btrim(given, chr(39)) AS bound, position
                  FROM unnest(bounds) WITH ORDINALITY AS g (given, position)) AS b) AS read
    WHERE bounds IS NOT NULL";
/// Bounds are written with their zone, so that they mean the same in every session.
const BOUND: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:6]+00");

/// What one pass did, as qualified partition names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct MaintenanceReport {
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
    pub async fn maintain(&self, now: OffsetDateTime) -> Result<MaintenanceReport, Error> {
        let today = now.to_offset(UtcOffset::UTC).date();
        let mut report = MaintenanceReport::default();
        for table in &self.tables {
            for name in self.create(table, today, &mut report).await? {
                self.drop_expired(table, &name, &mut report).await?;
            }
        }
        if !report.postponed.is_empty() {
            tracing::warn!(postponed = ?report.postponed, "partitions wait for the locks of their tables, and are tried again");
        }
        Ok(report)
    }

    /// Maintains every hour, sooner after a failure, until `cancel`.
    pub async fn run(&self, cancel: &CancellationToken) {
        while !cancel.is_cancelled() {
            let pause = match self.maintain(OffsetDateTime::now_utc()).await {
                Ok(report) => {
                    if report != MaintenanceReport::default() {
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

    /// Creates what is missing and returns the partitions that have expired.
    async fn create(
        &self,
        table: &Partitioned,
        today: Date,
        report: &mut MaintenanceReport,
    ) -> Result<Vec<String>, Error> {
        loop {
            match self
                .database
                .transaction(|tx| Box::pin(async move { create_missing(&tx, table, today).await }))
                .await
            {
                Ok(plan) => {
                    report.created.extend(plan.create.iter().map(|new| display_name(table, &new.name)));
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

    async fn drop_expired(
        &self,
        table: &Partitioned,
        name: &str,
        report: &mut MaintenanceReport,
    ) -> Result<(), Error> {
        let shown = display_name(table, name);
        match self
            .database
            .transaction(|tx| Box::pin(async move { drop_unless_kept(&tx, table, name).await }))
            .await
        {
            Ok(true) => report.dropped.push(shown),
            Ok(false) => report.kept.push(shown),
            Err(Error::Retryable(_)) => report.postponed.push(shown),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// What a table lacks for `today` and tomorrow, as qualified names of partitions.
pub(crate) async fn missing(
    client: &impl GenericClient,
    table: &Partitioned,
    today: Date,
) -> Result<Vec<String>, Error> {
    let existing = existing(client, &qualified(table.schema, table.table)).await?;
    let until = today.saturating_add(time::Duration::days(2));
    let missing = uncovered(table.table, &existing, today, until);
    Ok(missing.iter().map(|partition| display_name(table, &partition.name)).collect())
}

/// Creates up to [`CREATED_AT_ONCE`], the newest, for those are needed first; says which.
async fn create_missing(tx: &Transaction<'_>, table: &Partitioned, today: Date) -> Result<Plan, Error> {
    let parent = qualified(table.schema, table.table);
    tx.batch_execute(LOCK_TIMEOUT).await?;
    tx.execute(LOCK_MAINTENANCE, &[&parent]).await?;
    let mut plan = plan(table, &existing(tx, &parent).await?, today);
    plan.create.drain(..plan.create.len().saturating_sub(CREATED_AT_ONCE));
    for new in &plan.create {
        tx.batch_execute(&create_statement(table, new)).await?;
    }
    Ok(plan)
}

/// Drops a partition, unless a row of it must stay. True when it is gone.
async fn drop_unless_kept(tx: &Transaction<'_>, table: &Partitioned, name: &str) -> Result<bool, Error> {
    let partition = qualified(table.schema, name);
    tx.batch_execute(LOCK_TIMEOUT).await?;
    tx.execute(LOCK_MAINTENANCE, &[&qualified(table.schema, table.table)]).await?;
    if tx.query_one("SELECT to_regclass($1::text) IS NULL", &[&partition]).await?.get(0) {
        return Ok(true);
    }
    if let Some(keep_if) = table.keep_if {
        // Nobody may add such a row between the look and the drop, nor read one of the partition's for it.
        tx.batch_execute(&format!("LOCK TABLE {partition} IN ACCESS EXCLUSIVE MODE")).await?;
        let look = format!("SELECT EXISTS (SELECT FROM {partition} p WHERE {keep_if})");
        if tx.query_one(&look, &[]).await?.get(0) {
            return Ok(false);
        }
    }
    tx.batch_execute(&format!("DROP TABLE {partition}")).await?;
    Ok(true)
}

async fn existing(client: &impl GenericClient, parent: &str) -> Result<Vec<Partition>, Error> {
    let rows = client.query(LIST, &[&parent]).await?;
    let read = |row: &tokio_postgres::Row| {
        Ok::<_, Error>(Partition { name: row.try_get(0)?, from: row.try_get(1)?, to: row.try_get(2)? })
    };
    rows.iter().map(read).collect()
}

/// A `date` takes the day of a literal and leaves its time.
fn create_statement(table: &Partitioned, new: &Partition) -> String {
    let bound = |instant: OffsetDateTime| {
        instant.to_offset(UtcOffset::UTC).format(BOUND).expect("the parts are those of an instant")
    };
    format!(
        "CREATE TABLE {} PARTITION OF {} FOR VALUES FROM ('{}') TO ('{}')",
        qualified(table.schema, &new.name),
        qualified(table.schema, table.table),
        bound(new.from),
        bound(new.to),
    )
}

fn qualified(schema: &str, table: &str) -> String {
    format!("{}.{}", quote(schema), quote(table))
}

fn display_name(table: &Partitioned, name: &str) -> String {
    format!("{}.{name}", table.schema)
}
