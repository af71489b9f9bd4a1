//! How a connection to the broker is made, checked and closed.

use std::fmt;
use std::time::Duration;

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};

use crate::Topology;

/// Seconds. A broker that no longer answers is noticed after twice as long.
const HEARTBEAT_SECONDS: u16 = 10;
/// For the TCP connection alone.
const TCP_TIMEOUT_MS: u64 = 5_000;
/// For TCP, TLS and the handshake together: a frozen broker accepts TCP connections and says nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A blocked connection never answers a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// For declaring a whole topology, with new quorum queues electing their leaders.
pub(crate) const DECLARE_TIMEOUT: Duration = Duration::from_secs(60);
/// The broker's word for a thing that is not there.
pub(crate) const NOT_FOUND: u16 = 404;
/// The broker's word for an exclusive queue of somebody else's.
const RESOURCE_LOCKED: u16 = 405;
/// The broker's word for a thing that exists and is another than the one declared.
pub(crate) const PRECONDITION_FAILED: u16 = 406;
/// The exclusive queue that whoever makes new queues holds meanwhile. It goes with its connection at the latest.
const TURN: &str = "payrelay.declaring";
/// How often somebody who waits for the turn asks again.
const TURN_INTERVAL: Duration = Duration::from_millis(100);

/// Why the broker could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configured URL is wrong; trying again will not help.
    #[error("not an AMQP URL (amqp://user:password@host:5672/vhost): {0}")]
    Url(String),
    /// The broker is away, refused or broke off; try again later.
    #[error("RabbitMQ: {0}")]
    Broker(#[from] lapin::Error),
    /// An exchange or queue exists and is another than it must be. Trying again helps when somebody has mended it.
    #[error("{0}; see all differences and what to do: payrelay topology check")]
    Spoiled(lapin::Error),
    /// The broker did not answer in time; try again later.
    #[error("RabbitMQ did not answer within {} s ({what})", after.as_secs())]
    Timeout {
        /// What was asked of it.
        what: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
}

impl Error {
    /// The AMQP reply code with which the broker refused, as 404 (there is no such thing) or 406 (it is different).
    pub fn reply_code(&self) -> Option<u16> {
        let (Self::Broker(error) | Self::Spoiled(error)) = self else { return None };
        reply_code(error)
    }
}

/// Where the broker is and under which name to connect. Cheap to clone; connects only when asked.
#[derive(Clone)]
pub struct Broker {
    pub(crate) uri: AMQPUri,
    connection_name: String,
}

impl fmt::Debug for Broker {
    /// Without the user's password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = &self.uri.authority;
        write!(
            f,
            "Broker({}:{}/{} as {})",
            authority.host, authority.port, self.uri.vhost, self.connection_name
        )
    }
}

impl Broker {
    /// Parses `amqp_url` (`amqp://` or `amqps://`; no vhost means `/`). `connection_name` is shown by the broker's tools.
    ///
    /// # Errors
    /// [`Error::Url`] only.
    pub fn new(amqp_url: &str, connection_name: &str) -> Result<Self, Error> {
        let mut uri: AMQPUri = amqp_url.parse().map_err(Error::Url)?;
        if amqp_url.contains("://[") || amqp_url.contains("@[") {
            // The client's parser would silently take it for localhost.
            return Err(Error::Url("an IPv6 address; give a host name instead".to_owned()));
        }
        if uri.vhost.is_empty() {
            "/".clone_into(&mut uri.vhost);
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        uri.query.connection_timeout.get_or_insert(TCP_TIMEOUT_MS);
        Ok(Self { uri, connection_name: connection_name.to_owned() })
    }

    /// The same broker under the name `{connection_name} {suffix}`.
    #[must_use]
    pub fn named(&self, suffix: &str) -> Self {
        Self { uri: self.uri.clone(), connection_name: format!("{} {suffix}", self.connection_name) }
    }

    /// Connects once, without recovery: a connection that breaks stays broken and fails all that is in flight.
    pub async fn connect(&self) -> Result<Connection, Error> {
        let properties =
            ConnectionProperties::default().with_connection_name(self.connection_name.as_str().into());
        let connecting = Connection::connect_uri(self.uri.clone(), properties);
        Ok(within("connect", CONNECT_TIMEOUT, connecting).await??)
    }

    /// Connects and closes again: whether the broker is there and lets us in.
    pub async fn ping(&self) -> Result<(), Error> {
        close(&self.connect().await?).await;
        Ok(())
    }

    /// Declares `topology` on a connection of its own.
    pub async fn declare(&self, topology: &Topology) -> Result<(), Error> {
        let connection = self.connect().await?;
        let declared = declare_on(&connection, topology).await;
        close(&connection).await;
        declared
    }
}

/// Declares `topology` on channels of its own, for a refusal closes the channel.
pub(crate) async fn declare_on(connection: &Connection, topology: &Topology) -> Result<(), Error> {
    let declare = async {
        if all_there(connection, topology).await? {
            return declare(connection, topology).await;
        }
        let turn = take_turn(connection).await?;
        let declared = declare(connection, topology).await;
        turn.queue_delete(TURN.into(), QueueDeleteOptions::default()).await?;
        turn.close(200, "OK".into()).await?;
        declared
    };
    let declared = within("declare the topology", DECLARE_TIMEOUT, declare).await.flatten();
    declared.map_err(|error| match error {
        Error::Broker(refusal) if reply_code(&refusal) == Some(PRECONDITION_FAILED) => {
            metrics::counter!("payrelay_topology_refused_total").increment(1);
            tracing::error!(error = %refusal, "the topology is spoiled; see payrelay topology check");
            Error::Spoiled(refusal)
        }
        other => other,
    })
}

async fn declare(connection: &Connection, topology: &Topology) -> Result<(), Error> {
    let channel = connection.create_channel().await?;
    topology.declare(&channel).await?;
    Ok(channel.close(200, "OK".into()).await?)
}

/// Whether declaring makes no queue.
async fn all_there(connection: &Connection, topology: &Topology) -> Result<bool, Error> {
    let channel = connection.create_channel().await?;
    for queue in topology.queues() {
        match queue.declare(&channel, true).await {
            Err(error) if error.reply_code() == Some(NOT_FOUND) => return Ok(false),
            looked => looked?,
        }
    }
    channel.close(200, "OK".into()).await?;
    Ok(true)
}

/// Waits until nobody else makes queues. Two who declare one new quorum queue at the same moment may leave it without
/// a leader for ever, seen on RabbitMQ 3.10: publishes to it are never confirmed, and nobody can consume it.
async fn take_turn(connection: &Connection) -> Result<Channel, Error> {
    let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
    loop {
        let channel = connection.create_channel().await?;
        match channel.queue_declare(TURN.into(), options, FieldTable::default()).await {
            Ok(_) => return Ok(channel),
            Err(error) if reply_code(&error) == Some(RESOURCE_LOCKED) => {
                tokio::time::sleep(TURN_INTERVAL).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn reply_code(error: &lapin::Error) -> Option<u16> {
    let lapin::ErrorKind::ProtocolError(refusal) = error.kind() else { return None };
    Some(refusal.get_id())
}

/// Closes a connection in good order, or gives up after two seconds: its close is of no consequence any more.
pub async fn close(connection: &Connection) {
    if let Err(error) = within("close", CLOSE_TIMEOUT, connection.close(200, "OK".into())).await {
        tracing::debug!(%error, "connection not closed in good order");
    }
}

pub(crate) async fn within<T>(
    what: &'static str,
    after: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Error> {
    tokio::time::timeout(after, work).await.map_err(|_| Error::Timeout { what, after })
}
