//! The database and the broker of a service, by its settings.

use messaging::{Broker, Topology};
use service::StartRefusal;
use service::config::{AmqpSettings, DatabaseSettings};
use storage::{Database, Error, Server};

/// A pool for this database, which is told the name `name`. Opens no connection yet.
///
/// # Errors
/// The URL, or a file beside it, cannot be used.
pub fn connect_database(
    settings: &DatabaseSettings,
    name: &str,
    max_connections: usize,
) -> Result<Database, Error> {
    let server = Server::new(settings.url.expose())
        .with_tls(settings.tls.clone())
        .with_password_file(settings.password_file.clone());
    Database::connect(server, name, max_connections)
}

/// This broker, which is told the name `name`. Opens no connection yet.
///
/// # Errors
/// The URL, or a file beside it, cannot be used.
pub fn connect_broker(settings: &AmqpSettings, name: &str) -> Result<Broker, StartRefusal> {
    Broker::with_tls(settings.url.expose(), settings.tls.clone(), name)
        .map_err(|error| StartRefusal::of_setting("PAYRELAY_AMQP_URL", error))
}

/// What an operator must mend ends the service with the exit code for it.
pub fn refuse_misconfigured(error: Error) -> anyhow::Error {
    StartRefusal::of(error, Error::is_misconfigured)
}

/// Refuses a broker that has a queue or an exchange of `topology` otherwise. One that is away is not asked.
///
/// # Errors
/// What is otherwise.
pub async fn refuse_other_topology(broker: &Broker, topology: &Topology) -> Result<(), StartRefusal> {
    match broker.mismatched(topology).await.first() {
        Some(spoiled) => Err(StartRefusal(format!("{spoiled}; see payrelay topology check"))),
        None => Ok(()),
    }
}
