//! Configuration from the environment, typed, with every error reported at once.

mod common;
mod error;
mod loader;
mod servers;
mod setting;

pub use common::{COMMON_SETTINGS, Common, Ports};
pub(crate) use common::{log_filter, log_format};
pub use error::{ConfigError, ConfigErrors};
pub use loader::Loader;
pub use servers::{AMQP_SETTINGS, AmqpSettings, DATABASE_SETTINGS, DatabaseSettings};
pub use setting::{Asked, Need, Setting};
