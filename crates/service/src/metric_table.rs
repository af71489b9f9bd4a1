//! Every metric that all services have. A test compares this table with what the sources record.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_process::Collector;

/// CPU, memory, file descriptors and start of the process: `process_…`, as Prometheus names them.
pub(crate) fn process() -> Collector {
    Collector::default()
}

/// Describes the metrics and says which release runs.
pub fn describe_metrics() {
    describe_histogram!(
        "payrelay_http_request_seconds",
        Unit::Seconds,
        "Seconds from the head of a request to its answer, by listener (public or admin), method, route and status."
    );
    describe_counter!(
        "payrelay_http_requests_refused_total",
        Unit::Count,
        "Requests that were answered 503 because too many were under way."
    );
    counter!("payrelay_http_requests_refused_total").increment(0);
    describe_gauge!("payrelay_build_info", Unit::Count, "1, with the version of the program as a label.");
    gauge!("payrelay_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    process().describe();
}
