//! Who the client is, and where its broker.

use messaging::Broker;

/// The longest name of a service, in bytes.
const MAX_NAME_BYTES: usize = 32;
/// The names of payrelay's own consumers: under one of them a subscriber would take messages away from it.
const RESERVED: [&str; 2] = ["trade", "merchant"];

/// Why a publisher or subscriber cannot be made; trying again will not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The URL of the broker is none.
    #[error("{0}")]
    Url(String),
    /// The name of the service names no queues.
    #[error("name: expected 1 to {MAX_NAME_BYTES} of a-z, 0-9 and -, got {0:?}")]
    Name(String),
    /// The name of the service is that of a consumer of payrelay.
    #[error("name: {0:?} is a consumer of payrelay's own; choose that of your team or service")]
    Reserved(String),
    /// There is nothing to subscribe to.
    #[error("event types: expected one or more, each once, got {0}")]
    EventTypes(String),
}

/// The broker at `amqp_url`, where connections are shown under `name`.
pub(crate) fn broker(amqp_url: &str, name: &str) -> Result<Broker, ConfigError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=MAX_NAME_BYTES).contains(&name.len()) || !name.bytes().all(fits) {
        // Both are texts and easily exchanged, and the URL holds a password.
        let shown = if name.contains(['/', ':', '@']) { "a URL" } else { name };
        return Err(ConfigError::Name(shown.chars().take(MAX_NAME_BYTES + 1).collect()));
    }
    if RESERVED.contains(&name) {
        return Err(ConfigError::Reserved(name.to_owned()));
    }
    Broker::new(amqp_url, name).map_err(|error| ConfigError::Url(error.to_string()))
}
