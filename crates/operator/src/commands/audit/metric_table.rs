//! Every metric of this crate. A test compares this table with what the sources record.

use metrics::{Unit, describe_gauge};

/// Describes the metrics. None has a value before the first round: a zero would say that nothing is missing.
pub(crate) fn describe_metrics() {
    describe_gauge!(
        "payrelay_audit_missing",
        Unit::Count,
        "Events that are nowhere, or where they cannot be."
    );
    describe_gauge!(
        "payrelay_audit_pending",
        Unit::Count,
        "Events still to be published, handled or notified."
    );
    describe_gauge!("payrelay_audit_parked", Unit::Count, "Events that are parked with a reason.");
    describe_gauge!("payrelay_audit_ledger_findings", Unit::Count, "Findings in the ledger.");
    describe_gauge!(
        "payrelay_audit_oldest_seconds",
        Unit::Seconds,
        "Age of the oldest event that is missing or pending, 0 if none is."
    );
    describe_gauge!(
        "payrelay_audit_last_round_timestamp_seconds",
        Unit::Seconds,
        "When the last round began that was completed, in seconds since 1970."
    );
}
