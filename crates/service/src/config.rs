//! Configuration from the environment, typed, with every error reported at once.

mod common;
mod error;
mod loader;
mod servers;

pub use common::{Common, Ports};
pub(crate) use common::{log_filter, log_format};
pub use error::{ConfigError, ConfigErrors};
pub use loader::Loader;
pub use servers::{AmqpSettings, DatabaseSettings};
