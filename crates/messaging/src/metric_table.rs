//! Every metric of this crate. A test compares this table with what the sources record.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, histogram};

/// What a settled message came to.
const SETTLED: [&str; 3] = ["done", "retry", "dead_letter"];
/// What a published message came to.
const PUBLISHED: [&str; 4] = ["confirmed", "returned", "nacked", "unknown"];

/// Describes the metrics and starts the counters at zero. Call it after the recorder is installed: a counter that first appears
/// with its first event hides that event from `rate()`.
pub fn describe_metrics() {
    describe_counter!(
        "payrelay_published_total",
        Unit::Count,
        "Messages published, by outcome: confirmed, returned (no queue is bound), nacked, unknown (the connection broke)."
    );
    describe_counter!(
        "payrelay_topology_refused_total",
        Unit::Count,
        "Declarations that RabbitMQ refused because a queue or exchange is different."
    );
    describe_counter!(
        "payrelay_messages_total",
        Unit::Count,
        "Messages settled, by main queue and outcome: done, retry, dead_letter."
    );
    describe_histogram!(
        "payrelay_message_age_seconds",
        Unit::Seconds,
        "Age of a message when it is done, by main queue: seconds since its event occurred, retries included."
    );
    describe_gauge!(
        "payrelay_consumer_subscribed",
        Unit::Count,
        "1 while this process consumes the queue, 0 while its consumer is paused or disconnected."
    );
    describe_gauge!(
        "payrelay_publisher_connected",
        Unit::Count,
        "1 while the publisher of this AMQP connection can publish, 0 while it is disconnected or blocked."
    );
    for outcome in PUBLISHED {
        counter!("payrelay_published_total", "outcome" => outcome).increment(0);
    }
    counter!("payrelay_topology_refused_total").increment(0);
}

/// Starts what is counted by queue.
pub(crate) fn start_queue(queue: &str) {
    for outcome in SETTLED {
        counter!("payrelay_messages_total", "queue" => queue.to_owned(), "outcome" => outcome).increment(0);
    }
    let _registered = histogram!("payrelay_message_age_seconds", "queue" => queue.to_owned());
}
