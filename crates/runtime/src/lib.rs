//! What all services do alike, above the shell, the database and the broker.
//!
//! * [`connect_database`] and [`connect_broker`] read the settings of the shell; [`config`] reads variables that all services have.
//! * [`start_and_run`] is a service from its start to its stop, [`run`] the second half of it, with its [`Tasks`] supervised.
//! * [`prepare_partitions`], [`keep_partitions`] and [`remove_hourly`] remove what has expired.
//! * [`ApiError`] is how a request fails, [`Checkups`] what a service tells `payrelay doctor`.

mod api_error;
mod checkup;
pub mod config;
mod maintenance;
mod running;
mod servers;
mod tasks;

pub use api_error::ApiError;
pub use checkup::Checkups;
pub use maintenance::{keep_partitions, prepare_partitions, remove_hourly};
pub use running::{Admin, run, start_and_run};
pub use servers::{connect_broker, connect_database, refuse_misconfigured, refuse_other_topology};
pub use tasks::{RunError, Tasks};
