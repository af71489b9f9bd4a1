//! How a connection to the broker is made, checked and closed.

use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::tcp::{AMQPUriTcpExt as _, RustlsConnector};
use lapin::types::FieldTable;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::runtime::{Builder, Runtime};
use transport::{Tls, TlsFiles, tls};

use crate::error::{Error, reply_code};
use crate::{Topology, refusal, url};

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

/// Where the broker is and under which name to connect. Cheap to clone; connects only when asked.
#[derive(Clone)]
pub struct Broker {
    pub(crate) uri: AMQPUri,
    /// There for `amqps://`, and where certificates are named.
    pub(crate) tls: Option<Tls>,
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
    /// `amqps://` verifies the broker by the system's certificates, or by the file that `?cacertfile=` names; `certfile` and `keyfile`
    /// name what is shown to it.
    ///
    /// # Errors
    /// [`Error::Url`] and [`Error::Tls`] only.
    pub fn new(amqp_url: &str, connection_name: &str) -> Result<Self, Error> {
        Self::with_tls(amqp_url, TlsFiles::default(), connection_name)
    }

    /// As [`Broker::new`]; `files` hold before those that the URL names.
    ///
    /// # Errors
    /// [`Error::Url`] and [`Error::Tls`] only.
    pub fn with_tls(amqp_url: &str, files: TlsFiles, connection_name: &str) -> Result<Self, Error> {
        let (mut uri, of_url) = url::parse(amqp_url).map_err(Error::Url)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        uri.query.connection_timeout.get_or_insert(TCP_TIMEOUT_MS);
        let files = files.or(of_url);
        let wanted = uri.scheme == AMQPScheme::AMQPS || !files.is_empty();
        let tls = wanted.then(|| Tls::new(files, url::SETTINGS)).transpose()?;
        Ok(Self { uri, tls, connection_name: connection_name.to_owned() })
    }

    /// The name under which it connects.
    pub(crate) fn name(&self) -> &str {
        &self.connection_name
    }

    /// The same broker under the name `{connection_name} {suffix}`.
    #[must_use]
    pub fn named(&self, suffix: &str) -> Self {
        Self { connection_name: format!("{} {suffix}", self.connection_name), ..self.clone() }
    }

    /// Connects once, without recovery: a connection that breaks stays broken and fails all that is in flight.
    pub async fn connect(&self) -> Result<Connection, Error> {
        let properties =
            ConnectionProperties::default().with_connection_name(self.connection_name.as_str().into());
        let tls = match &self.tls {
            Some(tls) if self.uri.scheme == AMQPScheme::AMQPS => Some(tls.clone()),
            _ => None,
        };
        let unshown = tls.as_ref().is_some_and(|tls| !tls.has_client_certificate());
        let runtime = {
            let _inside = CLIENT.enter();
            lapin::runtime::default_runtime()?
        };
        let open = Connection::connector(
            self.uri.clone(),
            runtime,
            async move |uri, runtime| {
                let host = uri.authority.host.clone();
                let plain = AMQPUri { scheme: AMQPScheme::AMQP, ..uri };
                let stream = plain.connect_async(&runtime).await?;
                let Some(tls) = &tls else { return Ok(stream) };
                let config = tls.client_config().map_err(io::Error::other)?;
                Ok(stream.into_rustls(&RustlsConnector::from(Arc::new(config)), &host).await?)
            },
            properties,
        );
        let opened = within("connect", CONNECT_TIMEOUT, open).await?;
        let opened = opened.map_err(|error| if unshown { or_demanded(error) } else { error });
        opened.map_err(refusal::of_login(&self.uri.authority.userinfo.username))
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

/// What the client's own threads run on. It never ends: a thread of the client may outlive whoever waits for it, as one that
/// connects when a command is through, and it panics when its runtime ends before it.
static CLIENT: LazyLock<Runtime> = LazyLock::new(|| {
    let mut runtime = Builder::new_multi_thread();
    runtime.worker_threads(1).thread_name("amqp").enable_all();
    runtime.build().expect("a thread can be started")
});

/// Declares `topology` on channels of its own, for a refusal closes the channel.
pub(crate) async fn declare_on(connection: &Connection, topology: &Topology) -> Result<(), Error> {
    let declare = async {
        if all_there(connection, topology).await? {
            return declare(connection, topology).await;
        }
        let turn = take_turn(connection).await?;
        declare(connection, topology).await?;
        turn.queue_delete(TURN.into(), QueueDeleteOptions::default()).await?;
        Ok(turn.close(200, "OK".into()).await?)
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
            Err(error) => return Err(refusal::of(refusal::DECLARE_QUEUE)(error)),
        }
    }
}

/// `error`, with what it may mean if a broker ends a connection under TLS: its alert is often lost with the connection.
fn or_demanded(error: lapin::Error) -> lapin::Error {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let lapin::ErrorKind::IOError(io) = error.kind() else { return error };
    let ended = matches!(io.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof);
    if ended { io::Error::new(io.kind(), format!("{io}; {}", tls::DEMANDED)).into() } else { error }
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
