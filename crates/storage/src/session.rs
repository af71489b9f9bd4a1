//! Sessions that belong to one owner, for advisory locks and settings, and the proof that they do.
//!
//! A pooler in transaction mode gives each transaction to any of its server's sessions: a lock stays behind on one of them, and
//! two processes may both hold it. One connection alone does not show that, for an idle pooler gives it the same session
//! again and again. Two do: while both are open, they must never be served by the same session.

use std::ops::Deref;
use std::time::Duration;

use deadpool_postgres::{Client, ClientWrapper, Timeouts};
use tokio::time::timeout;
use tokio_postgres::SimpleQueryMessage;

use crate::connector::CONNECT_TIMEOUT;
use crate::owned::Owned;
use crate::{Database, Error};

/// The process that serves a session, and when its server was started, for a URL may name several.
const IDENTITY: &str = "SELECT pg_backend_pid(), pg_postmaster_start_time()";
/// How often two sessions are asked in turn. Where others use the pooler too, they may be served apart once.
const ROUNDS: u32 = 3;
const POOLED: &str = "a pooler in transaction or statement mode stands before PostgreSQL: two connections are served by one \
    session, and locks and settings do not stay with their owner; use session pooling (pgbouncer: pool_mode = session), or \
    connect to PostgreSQL directly";
/// Everything that a session holds. A pooler in session mode may give it to others without cleaning it.
const RELEASE: &str = "SELECT pg_advisory_unlock_all()";
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// A session of one's own. Dropping it closes it and frees its locks.
pub(crate) struct Session {
    pub(crate) client: Owned,
    /// The process that serves it.
    pub(crate) pid: i32,
}

impl Session {
    /// Frees its locks, and closes it.
    pub(crate) async fn end(self) {
        // Without an answer the server frees them when it sees the end of the connection.
        let _late = timeout(RELEASE_TIMEOUT, self.client.batch_execute(RELEASE)).await;
    }
}

impl Database {
    /// Takes a connection from the pool for good, for what belongs to a session: advisory locks, settings. It is proven to
    /// belong to us alone.
    ///
    /// # Errors
    /// [`Error::Unfit`] behind a pooler in transaction or statement mode.
    pub(crate) async fn session(&self) -> Result<Session, Error> {
        let client = Owned::new(self.client().await?);
        let proven = timeout(CONNECT_TIMEOUT, self.prove(&client));
        let pid = proven.await.map_err(Error::unavailable)??;
        Ok(Session { client, pid })
    }

    /// Looks whether a session stays the same and is nobody else's; returns the process that serves it.
    pub(crate) async fn prove(&self, client: &ClientWrapper) -> Result<i32, Error> {
        let other = self.another().await?;
        compare(client, &other).await
    }

    /// Proves it again, if the pool has another connection to spare: what stands in between may have been changed.
    pub(crate) async fn prove_again(&self, session: &Session) -> Result<(), Error> {
        let Some(other) = self.at_once().await else { return Ok(()) };
        timeout(CONNECT_TIMEOUT, compare(&session.client, &other))
            .await
            .map_err(Error::unavailable)?
            .map(drop)
    }

    /// One more connection, for a short time: of the pool where it has one, else beside it.
    pub(crate) async fn another(&self) -> Result<Beside, Error> {
        if let Some(client) = self.at_once().await {
            return Ok(Box::new(client));
        }
        let opened = timeout(CONNECT_TIMEOUT, self.connector.open(&self.config)).await;
        let (client, ended) = opened.map_err(Error::unavailable)?.map_err(Error::unavailable)?;
        Ok(Box::new(Box::new(ClientWrapper::new(client, ended))))
    }

    /// One of the pool, unless all are in use.
    async fn at_once(&self) -> Option<Client> {
        let at_once = Timeouts { wait: Some(Duration::ZERO), ..self.pool.timeouts() };
        self.pooled(&at_once).await.ok()
    }
}

/// Whether two connections, while both are open, are served by sessions of their own; returns the process that serves the first.
async fn compare(client: &ClientWrapper, other: &ClientWrapper) -> Result<i32, Error> {
    let first = identity(client).await?;
    for _ in 0..ROUNDS {
        let others = identity(other).await?;
        if others == first || identity(client).await? != first {
            return Err(Error::Unfit(POOLED.to_owned()));
        }
    }
    Ok(first.0)
}

/// A connection of the pool or one beside it.
pub(crate) type Beside = Box<dyn Deref<Target = ClientWrapper> + Send + Sync>;

/// By the simple protocol, which poolers of every mode let through.
async fn identity(client: &ClientWrapper) -> Result<(i32, String), Error> {
    let answer = client.simple_query(IDENTITY).await?;
    let read = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((row.get(0)?.parse().ok()?, row.get(1)?.to_owned())),
        _ => None,
    });
    read.ok_or_else(|| Error::unavailable("a session does not tell which process serves it"))
}
