//! The pool of connections.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deadpool_postgres::{
    Client, Hook, HookError, Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod, Runtime, Status,
    Timeouts,
};
use tokio::time::timeout;
use tokio_postgres::Config;

use crate::connector::{CONNECT_TIMEOUT, Connector};
use crate::owned::Owned;
use crate::settings::{Seen, Settings};
use crate::{Error, Server, stale};

/// A connection that nobody has used for so long is given back: others may be short of it.
const IDLE: Duration = Duration::from_secs(60);
/// How often idle connections are looked for, in seconds.
const IDLE_INTERVAL_SECONDS: u64 = 5;

/// A PostgreSQL database: a bounded pool of connections, cheap to clone.
///
/// Every session has `statement_timeout` 30 s, `idle_in_transaction_session_timeout` 60 s and the time zone UTC. One that
/// cannot work any more, as on a server that has become a standby, is not given out again. Of those that are idle, the newest
/// is given out first, and the others are closed after a minute.
#[derive(Clone)]
pub struct Database {
    pub(crate) pool: Pool,
    pub(crate) config: Config,
    pub(crate) connector: Connector,
    settings: Arc<Settings>,
    upkeep: Arc<Upkeep>,
}

/// When idle connections were last looked for.
struct Upkeep {
    began: Instant,
    seconds: AtomicU64,
}

impl Database {
    /// Makes the pool for `postgres://user:password@host:port/name`. Connections are opened when they are needed, so this
    /// succeeds while the server is away. `sslmode=require` or `verify-full` in the URL turns TLS on. Of several hosts
    /// (`host1:5432,host2:5432`) the one that takes writes is used. `options=-c name=value` sets what a session has otherwise.
    ///
    /// # Errors
    /// [`Error::Config`] when the URL or a file beside it cannot be used.
    pub fn connect(
        server: impl Into<Server>,
        application_name: &str,
        max_connections: usize,
    ) -> Result<Self, Error> {
        let (config, connector, settings) = Connector::parse(&server.into(), application_name)?;
        let manager = Manager::from_connect(
            config.clone(),
            connector.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let pool = Pool::builder(manager)
            .max_size(max_connections)
            .wait_timeout(Some(CONNECT_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            // In turn, each would be used every now and then, and none be idle.
            .queue_mode(QueueMode::Lifo)
            .pre_recycle(Hook::sync_fn(|_, metrics| {
                if stale::is_suspect(metrics.created) {
                    return Err(HookError::message("made before a failure of sessions"));
                }
                Ok(())
            }))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| Error::Config(error.to_string()))?;
        let upkeep = Arc::new(Upkeep { began: Instant::now(), seconds: AtomicU64::new(0) });
        Ok(Self { pool, config, connector, settings: Arc::new(settings), upkeep })
    }

    /// A connection of the pool, given back when dropped. Waits at most 5 s for one. Use `prepare_cached` on it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is none in time, or the server takes no writes; [`Error::Unfit`] when a session does
    /// not keep its settings, or the database is not in UTF-8.
    pub async fn client(&self) -> Result<Client, Error> {
        self.close_idle(IDLE, IDLE_INTERVAL_SECONDS);
        self.pooled(&self.pool.timeouts()).await
    }

    /// Whether the server answers and takes writes.
    pub async fn ping(&self) -> Result<(), Error> {
        let writable = self.see(&self.client().await?).await?.writable();
        if writable.is_err() {
            stale::note_now();
        }
        writable
    }

    /// How many connections there are, and who waits for one.
    pub(crate) fn status(&self) -> Status {
        self.pool.status()
    }

    /// The most connections that the pool opens.
    pub(crate) fn max_connections(&self) -> usize {
        self.pool.status().max_size
    }

    /// A connection of the pool, set up if it is new.
    pub(crate) async fn pooled(&self, timeouts: &Timeouts) -> Result<Client, Error> {
        let client = self.pool.timeout_get(timeouts).await?;
        if Client::metrics(&client).recycled.is_some() {
            return Ok(client);
        }
        // Whatever ends this early must not leave it to others.
        let new = Owned::new(client);
        timeout(CONNECT_TIMEOUT, self.settings.establish(&new)).await.map_err(Error::unavailable)??;
        Ok(new.into_client())
    }

    /// What a session says of itself.
    pub(crate) async fn see(&self, client: &Client) -> Result<Seen, Error> {
        self.settings.see(client).await
    }

    /// Closes what nobody has used for as long as `idle`, unless that was done less than an interval ago. Every service asks for a
    /// connection every few seconds, so this needs no task.
    fn close_idle(&self, idle: Duration, interval_seconds: u64) {
        let (now, looked) =
            (self.upkeep.began.elapsed().as_secs(), self.upkeep.seconds.load(Ordering::Relaxed));
        if now < looked.saturating_add(interval_seconds) {
            return;
        }
        let mine = self.upkeep.seconds.compare_exchange(looked, now, Ordering::Relaxed, Ordering::Relaxed);
        if mine.is_ok() {
            let idle = self.pool.retain(|_, metrics| metrics.last_used() < idle).removed;
            if !idle.is_empty() {
                tracing::debug!(connections = idle.len(), "idle connections closed");
            }
        }
    }
}

impl fmt::Debug for Database {
    /// Names the database, not the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("name", &self.config.get_dbname()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    async fn pid(database: &Database) -> i32 {
        let client = database.client().await.expect("a connection");
        client.query_one("SELECT pg_backend_pid()", &[]).await.expect("an answer").get(0)
    }

    #[tokio::test]
    async fn idle_connections_are_closed_and_those_in_use_stay() {
        let server = devstack::testing::Database::create();
        let database = Database::connect(server.url(), "storage-test", 8).expect("a valid URL");
        let burst: Vec<_> = join_all((0..6).map(|_| database.client())).await;
        assert!(burst.iter().all(Result::is_ok));
        drop(burst);
        assert_eq!(database.pool.status().size, 6);

        let newest = pid(&database).await;
        let used_at = Instant::now();
        for _ in 0..20 {
            assert_eq!(pid(&database).await, newest, "the others are left to idle");
        }
        database.close_idle(used_at.elapsed(), 0);
        assert_eq!((database.pool.status().size, pid(&database).await), (1, newest));

        let session = database.session().await.expect("a session");
        database.close_idle(Duration::ZERO, 0);
        assert_eq!(database.pool.status().size, 1, "it keeps its place in the pool");
        session.client.batch_execute("SELECT 1").await.expect("it lives");
        drop(session);
        assert_eq!(database.pool.status().size, 0);
        database.close_idle(Duration::ZERO, u64::MAX);
    }
}
