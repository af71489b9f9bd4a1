//! The shell of a service: everything that is the same for all of them and nothing that is about payments.
//!
//! * [`run_main`] is a whole `main`: configuration, logs, signals, exit codes.
//! * [`config::Loader`] reads the environment and collects every error before a port is opened.
//! * [`shutdown::Shutdown`] announces the end, drains softly, then ends hard.
//! * [`serve_while_starting`] answers for a service that waits for its database.
//! * [`http`] serves a router with bounds; [`extract`] and [`problem`] turn bad input into problem documents.
//! * [`admin`] is the second listener: health, readiness, metrics, and the service's own `/admin` routes.
//! * [`checkup`] is what each tells `payrelay doctor` of itself.
//! * [`panics`] logs each panic as a line of the log.
//! * [`trace::TraceParent`] carries one trace from the callback to the merchant.

pub mod admin;
pub mod auth;
pub mod checkup;
pub mod config;
mod entry;
pub mod extract;
#[cfg(feature = "failpoints")]
mod failpoints;
pub mod http;
pub mod logging;
mod metric_table;
pub mod panics;
pub mod problem;
mod secret;
pub mod shutdown;
mod starting;
pub mod telemetry;
pub mod trace;

pub use config::{Common, ConfigErrors, Loader};
pub use entry::{StartRefusal, run_main};
pub use metric_table::describe_metrics;
pub use problem::Problem;
pub use secret::{MasterKey, Secret};
pub use shutdown::Shutdown;
pub use starting::serve_while_starting;
pub use trace::TraceParent;
pub use transport::tls;
