//! Logs and metrics of the process.

use std::io::IsTerminal as _;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{ParseError, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{self, ConfigErrors, Loader};
use crate::logging::LogFormat;
use crate::metric_table;

/// Comes before every filter, which may still name `lapin` itself. The broker client logs the body of every message that is
/// returned, and reports every connection that is closed as an error; what fails is logged by whoever handles it.
const QUIET: &str = "lapin=off";

/// Buckets in seconds: a write takes milliseconds, a webhook up to ten seconds, a retry minutes.
const SECONDS_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Buckets of batch sizes.
const ITEMS_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
/// Recorded values wait in memory until they are folded into buckets.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Sends logs to standard error. The first call of a process decides; further ones change nothing.
pub fn init(filter: &str, format: LogFormat) -> Result<(), ParseError> {
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let never = filter_fn(|metadata| !holds_credentials(metadata));
    let _already_set = match format {
        LogFormat::Pretty => {
            builder.with_ansi(std::io::stderr().is_terminal()).finish().with(never).try_init()
        }
        LogFormat::Json => {
            builder.json().flatten_event(true).with_span_list(false).finish().with(never).try_init()
        }
    };
    Ok(())
}

/// Whatever the filter says: the broker client traces every frame, and one of them logs in with the password.
fn holds_credentials(metadata: &Metadata<'_>) -> bool {
    *metadata.level() == Level::TRACE && metadata.target().starts_with("lapin")
}

/// [`init`] for a program that is no service: by `PAYRELAY_LOG`, else `default_filter`, and `PAYRELAY_LOG_FORMAT`.
pub fn init_from_env(default_filter: &str) -> Result<(), ConfigErrors> {
    let mut loader = Loader::from_env();
    let (filter, format) = (config::log_filter(&mut loader, default_filter), config::log_format(&mut loader));
    loader.finish()?;
    // The loader has checked the filter.
    let _valid = init(&filter, format);
    Ok(())
}

/// The handle that renders the process's metrics in the Prometheus text format. The first call installs the recorder:
/// histograms named `…_seconds` and `…_items` get fixed buckets.
pub fn metrics() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let builder = [("_seconds", SECONDS_BUCKETS), ("_items", ITEMS_BUCKETS)].into_iter().fold(
            PrometheusBuilder::new(),
            |builder, (suffix, buckets)| {
                // Fails only for an empty list of buckets.
                builder
                    .set_buckets_for_metric(Matcher::Suffix(suffix.to_owned()), buckets)
                    .unwrap_or_else(|_| PrometheusBuilder::new())
            },
        );
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed, ours stays empty");
        }
        metric_table::describe_metrics();
        let upkeep = handle.clone();
        thread::spawn(move || {
            loop {
                thread::sleep(UPKEEP_INTERVAL);
                upkeep.run_upkeep();
            }
        });
        handle
    })
}

/// What `/metrics` answers: the process's metrics, its own figures among them, in the Prometheus text format.
pub fn render() -> String {
    let handle = metrics();
    metric_table::process().collect();
    handle.render()
}
