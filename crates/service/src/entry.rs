//! The `main` of every service.

use std::fmt::Display;
use std::future::Future;
use std::io::{self, Write as _};
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::config::{Common, Loader};
use crate::{Shutdown, panics, telemetry, tls};

/// `EX_CONFIG` of sysexits.h.
const EXIT_CONFIG: u8 = 78;
/// How long a service may take to notice the hard end.
const HARD_END: Duration = Duration::from_secs(2);

/// Why a service does not start until somebody has mended its surroundings: exit code 78, as for a wrong configuration, for
/// starting it again does not help.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartRefusal(pub String);

impl StartRefusal {
    /// A setting that cannot be used.
    pub fn of_setting(variable: &str, error: impl std::fmt::Display) -> Self {
        Self(format!("{variable}: {error}"))
    }

    /// `error`, as a refusal if `is_one` says so of it.
    pub fn of<E>(error: E, is_one: impl FnOnce(&E) -> bool) -> anyhow::Error
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        if is_one(&error) { Self(error.to_string()).into() } else { error.into() }
    }
}

/// Runs a service from its configuration to its exit code: 0 after a clean stop, 78 when the configuration is wrong (every
/// error on a line of its own on standard error) or the service ends with a [`StartRefusal`], 1 for anything else (one line), a panic of
/// `run` included.
///
/// ```no_run
/// # struct Config { common: service::Common }
/// # impl AsRef<service::Common> for Config { fn as_ref(&self) -> &service::Common { &self.common } }
/// # impl Config { fn load(_: &mut service::Loader) -> Self { unimplemented!() } }
/// # async fn run(_: Config, _: service::Shutdown) -> Result<(), std::io::Error> { Ok(()) }
/// fn main() -> std::process::ExitCode {
///     service::run_main("ingress", Config::load, run)
/// }
/// ```
pub fn run_main<C, E, F>(
    name: &'static str,
    load: impl FnOnce(&mut Loader) -> C,
    run: impl FnOnce(C, Shutdown) -> F,
) -> ExitCode
where
    C: AsRef<Common>,
    E: Into<anyhow::Error>,
    F: Future<Output = Result<(), E>>,
{
    let mut loader = Loader::from_env();
    let config = load(&mut loader);
    if let Err(errors) = loader.finish() {
        complain(&errors);
        return ExitCode::from(EXIT_CONFIG);
    }
    match start(name, config, run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // `{:#}` shows the causes in the same line.
            complain(&format_args!("{name}: {error:#}"));
            if error.is::<StartRefusal>() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

fn start<C, E, F>(name: &str, config: C, run: impl FnOnce(C, Shutdown) -> F) -> anyhow::Result<()>
where
    C: AsRef<Common>,
    E: Into<anyhow::Error>,
    F: Future<Output = Result<(), E>>,
{
    let common = config.as_ref();
    telemetry::init(&common.log_filter, common.log_format)?;
    telemetry::metrics();
    panics::log_panics();
    tls::install();
    #[cfg(feature = "failpoints")]
    let _failpoints = crate::failpoints::set_up();
    let (delay, grace) = (common.drain_delay, common.shutdown_grace);
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(async {
        let shutdown = Shutdown::on_signals(delay, grace)?;
        tracing::info!(service = name, version = env!("CARGO_PKG_VERSION"), "starting");
        let hard = shutdown.hard.clone();
        tokio::select! {
            result = AssertUnwindSafe(async { run(config, shutdown).await }).catch_unwind() => match result {
                Ok(result) => result.map_err(Into::into),
                Err(panic) => Err(anyhow::anyhow!("panicked: {}", panics::message(&*panic))),
            },
            () = async { hard.cancelled().await; tokio::time::sleep(HARD_END).await } => {
                Err(anyhow::anyhow!("did not stop within the grace of {} s", grace.as_secs()))
            }
        }
    });
    // Blocking tasks must not hold the process.
    runtime.shutdown_timeout(HARD_END);
    if result.is_ok() {
        tracing::info!(service = name, "stopped");
    }
    result
}

fn complain(what: &dyn Display) {
    // Nobody is left to tell when standard error is closed.
    let _closed = writeln!(io::stderr(), "{what}");
}
