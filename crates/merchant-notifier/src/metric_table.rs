//! Every metric of this crate. A test compares this table with what the sources record.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, histogram};

use crate::dispatch::ErrorKind;

/// The result of an attempt that the merchant has acknowledged.
pub(crate) const ACKNOWLEDGED: &str = "acknowledged";

/// Describes the metrics and starts the counters at zero: a counter that first appears with its first event hides that event
/// from `rate()`.
pub fn describe_metrics() {
    describe_histogram!(
        "payrelay_webhook_attempt_seconds",
        Unit::Seconds,
        "Seconds that an attempt at a webhook took, by result: acknowledged, or why it failed."
    );
    describe_counter!(
        "payrelay_webhook_attempts_recorded_total",
        Unit::Count,
        "Attempts at webhooks, by whether the database took their record: yes or no."
    );
    describe_counter!(
        "payrelay_breaker_openings_total",
        Unit::Count,
        "Breakers of merchants that have opened."
    );
    describe_counter!(
        "payrelay_notifier_skipped_total",
        Unit::Count,
        "Bare order numbers, of which merchants are not notified."
    );
    describe_gauge!("payrelay_webhook_attempts_in_flight", Unit::Count, "Attempts at webhooks under way.");
    describe_gauge!(
        "payrelay_breakers_open",
        Unit::Count,
        "Merchants whose breaker is open; the same on every replica."
    );
    describe_gauge!(
        "payrelay_breaker_open_seconds",
        Unit::Seconds,
        "Seconds since the breaker opened that is open longest, 0 if none is; the same on every replica."
    );
    for result in ErrorKind::ALL.map(ErrorKind::as_str).into_iter().chain([ACKNOWLEDGED]) {
        let _registered = histogram!("payrelay_webhook_attempt_seconds", "result" => result);
    }
    for recorded in ["yes", "no"] {
        counter!("payrelay_webhook_attempts_recorded_total", "recorded" => recorded).increment(0);
    }
    counter!("payrelay_breaker_openings_total").increment(0);
    counter!("payrelay_notifier_skipped_total").increment(0);
}
