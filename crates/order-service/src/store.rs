//! The SQL of the schema `orders`, one file per table family.
//!
//! Statements on many rows take arrays and are sorted by key, so that two of them never lock one another out.

pub mod applying;
pub mod audit;
pub mod contradictions;
pub mod handled;
pub mod orders;
pub mod parked;
pub mod trace;

use serde::Serialize;
use storage::{Database, Error, Parsed, parsed, partitions::Partitioned};

/// How a message came here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// Whether another publisher than the ingress made it.
    pub upstream: bool,
    /// The W3C trace context that brought it.
    pub traceparent: Option<String>,
}

mod migrations {
    refinery::embed_migrations!("migrations");
}

/// The schema.
const SCHEMA: &str = "orders";

/// Brings the schema to the newest migration; replicas that start at once wait for one another.
pub async fn migrate(database: &Database) -> Result<(), Error> {
    database.migrate(SCHEMA, migrations::migrations::runner()).await
}

/// The log of handled events, partitioned by the events' own day.
pub const fn handled_table(retention_days: u16) -> Partitioned {
    Partitioned { schema: SCHEMA, table: "handled", retention_days, keep_if: None }
}

/// PostgreSQL keeps no NUL in a text; what a stranger's message says is kept without it.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
