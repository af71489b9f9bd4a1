//! RabbitMQ, for the commands that speak to it themselves.

use messaging::{Broker, Error, Topology};
use service::Loader;
use service::config::AmqpSettings;

use crate::failure::Failure;

/// The broker of `PAYRELAY_AMQP_URL` or `PAYRELAY_AMQP_URL_FILE`, which is told the name of the command.
pub(crate) fn from_env(command: &str) -> Result<Broker, Failure> {
    service::tls::install();
    let mut loader = Loader::from_env();
    let AmqpSettings { url, tls } = AmqpSettings::load(&mut loader);
    loader.finish().map_err(|errors| Failure::Usage(errors.to_string()))?;
    Broker::with_tls(url.expose(), tls, &format!("payrelay {command}"))
        .map_err(|error| Failure::Usage(format!("PAYRELAY_AMQP_URL: {error}")))
}

/// The topology that the services declare, with the retry queues of `PAYRELAY_RETRY_DELAYS`.
pub(crate) fn topology_from_env() -> Result<Topology, Failure> {
    let mut loader = Loader::from_env();
    let retry = runtime::config::retry_delays(&mut loader);
    loader.finish().map_err(|errors| Failure::Usage(errors.to_string()))?;
    Ok(Topology::payrelay(&retry))
}

/// The failure of a broker that did not do what it was asked.
#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
pub(crate) fn failure(error: Error) -> Failure {
    Failure::Unreachable(match error {
        // It says itself what to do.
        Error::Denied { .. } => error.to_string(),
        _ => format!("{error}; check PAYRELAY_AMQP_URL"),
    })
}
