//! Daily range partitions: created ahead, dropped when they have expired.

mod maintainer;
mod plan;

pub(crate) use maintainer::missing;
pub use maintainer::{Maintainer, MaintenanceReport};

/// A table that is partitioned by day: `PARTITION BY RANGE (column)`, the column a `date` or a `timestamptz`.
#[derive(Debug, Clone, Copy)]
pub struct Partitioned {
    /// The schema of the table.
    pub schema: &'static str,
    /// The partitioned table. The partition of 2026-01-31 is `{table}_p20260131`.
    pub table: &'static str,
    /// Days that are kept besides today.
    pub retention_days: u16,
    /// SQL condition over a row `p` of an expired partition: while one row meets it, the partition stays. As
    /// `EXISTS (SELECT FROM pay.outbox_pending o WHERE o.event_id = p.event_id)`.
    pub keep_if: Option<&'static str>,
}

/// Quotes an identifier.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
