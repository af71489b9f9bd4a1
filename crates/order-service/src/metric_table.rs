//! Every metric of this crate. A test compares this table with what the sources record.

use events::EventType;
use metrics::{Unit, counter, describe_counter, describe_gauge};

/// The type of messages whose routing key names none.
pub(crate) const UNKNOWN_TYPE: &str = "unknown";
/// What a message comes to.
const OUTCOMES: [&str; 9] = [
    "applied",
    "duplicate",
    "not_mine",
    "unknown_order",
    "undecodable",
    "invalid",
    "amount_mismatch",
    "second_payment",
    "order_closed",
];

/// Describes the metrics and starts the counters at zero: a counter that first appears with its first event hides that event
/// from `rate()`.
pub fn describe_metrics() {
    describe_counter!(
        "payrelay_order_messages_total",
        Unit::Count,
        "Messages about orders, by type of event and outcome: applied, duplicate, not_mine, unknown_order, or why refused."
    );
    describe_gauge!(
        "payrelay_contradictions_open",
        Unit::Count,
        "Contradictions that wait for an operator, by reason; the same on every replica."
    );
    for event_type in EventType::ALL.map(EventType::as_str).into_iter().chain([UNKNOWN_TYPE]) {
        for outcome in OUTCOMES {
            counter!("payrelay_order_messages_total", "type" => event_type, "outcome" => outcome)
                .increment(0);
        }
    }
}
