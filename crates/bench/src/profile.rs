//! Where PostgreSQL spends its time: the statements of one load, by `pg_stat_statements`.

use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use tokio_postgres::Client;

use crate::output::line;
use crate::stats::float;

/// The server must be restarted after it.
const PRELOAD: &str = "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'";
const RESET: &str = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements; SELECT pg_stat_statements_reset()";
const TOP: &str = r"
    SELECT calls, total_exec_time, rows, wal_bytes::float8,
        left(regexp_replace(query, '\s+', ' ', 'g'), 90) AS query
    FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY total_exec_time DESC LIMIT 24";

/// Prepares a server to count, once it is restarted.
pub(crate) async fn enable(client: &Client) -> Result<()> {
    client.batch_execute(PRELOAD).await.context("pg_stat_statements is not installed")
}

/// Counts from now on.
pub(crate) async fn begin(client: &Client) -> Result<()> {
    client.batch_execute(RESET).await.context("pg_stat_statements")
}

/// Prints what `payments` payments have cost since [`begin`]. Times are of execution, waits for the disk and for locks
/// included, planning not.
pub(crate) async fn print(client: &Client, payments: u64) -> Result<()> {
    let mut table = Table::new();
    let header = ["US/PAYMENT", "CALLS/1000", "ROWS/CALL", "WAL B/PAYMENT", "STATEMENT"];
    table.load_style(presets::NOTHING).set_header(header);
    for row in client.query(TOP, &[]).await? {
        let count = |column: usize| -> Result<f64> {
            Ok(float(u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or_default()))
        };
        let (calls, millis, rows, wal) =
            (count(0)?, row.try_get::<_, f64>(1)?, count(2)?, row.try_get::<_, f64>(3)?);
        let payments = float(payments);
        table.add_row([
            format!("{:.1}", millis * 1000.0 / payments),
            format!("{:.1}", calls * 1000.0 / payments),
            format!("{:.1}", rows / calls.max(1.0)),
            format!("{:.0}", wal / payments),
            row.try_get::<_, String>(4)?,
        ]);
    }
    line(format!("{}\n", table.trim_fmt()))
}
