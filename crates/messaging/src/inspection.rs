//! Whether a broker holds a topology as it should be, seen over AMQP and without changing anything.
//!
//! AMQP tells whether a thing is there and, by declaring it again, whether it is the same. It shows no bindings.

use std::fmt;

use lapin::{Channel, Connection};

use crate::{Broker, Error, Topology, connection};

const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;

/// What is wrong with one exchange or queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is not there.
    Missing {
        /// `exchange` or `queue`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// It is there, of another kind or with other arguments than it must have.
    Different {
        /// `exchange` or `queue`.
        what: &'static str,
        /// Its name.
        name: String,
        /// The broker's words for the difference.
        difference: String,
    },
}

impl Finding {
    /// The name of the exchange or queue.
    pub fn name(&self) -> &str {
        match self {
            Self::Missing { name, .. } | Self::Different { name, .. } => name,
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "declare it: payrelay topology apply",
            Self::Different { what: "queue", .. } => {
                "arguments are for ever: stop its consumers, empty it (a shovel moves messages), delete it, then payrelay topology apply"
            }
            Self::Different { .. } => {
                "delete it while the services are stopped, then payrelay topology apply"
            }
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { what, name } => write!(f, "{what} {name} is missing"),
            Self::Different { what, name, difference } => {
                write!(f, "{what} {name} is another than it must be: {difference}")
            }
        }
    }
}

impl Broker {
    /// Compares what is there with `topology`. Bindings cannot be seen; declaring makes them.
    pub async fn inspect(&self, topology: &Topology) -> Result<Vec<Finding>, Error> {
        let connection = self.connect().await?;
        let inspecting = connection::within("inspect the topology", connection::DECLARE_TIMEOUT, async {
            let mut findings = Vec::new();
            for exchange in topology.exchanges() {
                let declare = async |passive| {
                    let declare = async |channel: &Channel| exchange.declare(channel, passive).await;
                    on_channel(&connection, declare).await
                };
                findings.extend(inspect("exchange", &exchange.name, declare).await?);
            }
            for queue in topology.queues() {
                let declare = async |passive| {
                    let declare = async |channel: &Channel| queue.declare(channel, passive).await;
                    on_channel(&connection, declare).await
                };
                findings.extend(inspect("queue", &queue.name, declare).await?);
            }
            Ok(findings)
        });
        let findings = inspecting.await.flatten();
        connection::close(&connection).await;
        findings
    }
}

/// Asks whether it is there, and only then whether it is the same: a declaration makes what is missing.
async fn inspect(
    what: &'static str,
    name: &str,
    declare: impl AsyncFn(bool) -> Result<(), Error>,
) -> Result<Option<Finding>, Error> {
    let declared = match declare(true).await {
        Ok(()) => declare(false).await,
        missing => missing,
    };
    let Err(error) = declared else { return Ok(None) };
    let name = name.to_owned();
    match error.reply_code() {
        Some(NOT_FOUND) => Ok(Some(Finding::Missing { what, name })),
        Some(PRECONDITION_FAILED) => {
            Ok(Some(Finding::Different { what, name, difference: error.to_string() }))
        }
        _ => Err(error),
    }
}

/// Does `work` on a channel of its own, for a refusal closes the channel.
async fn on_channel(
    connection: &Connection,
    work: impl AsyncFnOnce(&Channel) -> Result<(), Error>,
) -> Result<(), Error> {
    let channel = connection.create_channel().await?;
    work(&channel).await?;
    Ok(channel.close(200, "OK".into()).await?)
}
