//! The pool of connections.

use std::fmt;

use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::Config;

use crate::Error;
use crate::connector::{CONNECT_TIMEOUT, Connector};

/// A PostgreSQL database: a bounded pool of connections, cheap to clone.
///
/// Every session has `statement_timeout` 30 s, `idle_in_transaction_session_timeout` 60 s and the time zone UTC.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    config: Config,
    connector: Connector,
}

impl Database {
    /// Makes the pool for `postgres://user:password@host:port/name`. Connections are opened when they are needed, so this
    /// succeeds while the server is away. `sslmode=require` or `verify-full` in the URL turns TLS on.
    ///
    /// # Errors
    /// [`Error::Config`] when the URL cannot be used.
    pub fn connect(url: &str, application_name: &str, max_connections: usize) -> Result<Self, Error> {
        let (config, connector) = Connector::parse(url, application_name)?;
        let manager = Manager::from_connect(
            config.clone(),
            connector.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let pool = Pool::builder(manager)
            .max_size(max_connections)
            .wait_timeout(Some(CONNECT_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| Error::Config(error.to_string()))?;
        Ok(Self { pool, config, connector })
    }

    /// A connection of the pool, given back when dropped. Waits at most 5 s for one. Use `prepare_cached` on it.
    pub async fn client(&self) -> Result<Client, Error> {
        Ok(self.pool.get().await?)
    }

    /// Whether the server answers.
    pub async fn ping(&self) -> Result<(), Error> {
        self.client().await?.simple_query("SELECT 1").await?;
        Ok(())
    }

    /// The most connections that the pool opens.
    pub(crate) fn max_connections(&self) -> usize {
        self.pool.status().max_size
    }

    /// Opens a connection outside the pool, for what belongs to a session: advisory locks, settings.
    pub(crate) async fn session(&self) -> Result<Session, Error> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.connector.open(&self.config)).await {
            Ok(Ok((client, ended))) => Ok(Session { client, ended }),
            Ok(Err(error)) => Err(Error::unavailable(error)),
            Err(elapsed) => Err(Error::unavailable(elapsed)),
        }
    }
}

impl fmt::Debug for Database {
    /// Names the database, not the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("name", &self.config.get_dbname()).finish_non_exhaustive()
    }
}

/// A connection of one's own. Dropping it closes the session and frees its locks.
pub(crate) struct Session {
    pub(crate) client: tokio_postgres::Client,
    /// Ends when the connection is lost.
    pub(crate) ended: JoinHandle<()>,
}

impl Drop for Session {
    /// A connection that hangs would outlive its client and keep the session's locks.
    fn drop(&mut self) {
        self.ended.abort();
    }
}
