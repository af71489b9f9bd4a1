//! One leader among replicas, by a session advisory lock.

use std::future::Future;
use std::time::Duration;

use deadpool_postgres::GenericClient;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::session::Session;
use crate::{Database, Error};

/// How often the others try for the lock.
const TRY_INTERVAL: Duration = Duration::from_secs(1);
/// Longest pause between two tries while the database is away.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// How often a leader asks whether its session still lives and holds the lock, and how long it waits for the answer. A frozen
/// server closes no connection.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often a leader looks whether its connection has been closed.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How long the work of a lost leadership may take to end before it is dropped.
const STEP_DOWN: Duration = Duration::from_secs(5);

/// Locks nothing in a session that is not the one that was proven to be ours; null then.
const TRY_LOCK: &str = "SELECT CASE WHEN pg_backend_pid() = $2 THEN pg_try_advisory_lock($1) END";
/// The lock of a leadership, in `pg_locks`.
const LOCK: &str = "locktype = 'advisory' AND granted AND objsubid = 1
    AND (classid::bigint << 32 | objid::bigint) = $1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// How a process stands to a leadership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It leads.
    Leading,
    /// Another session holds the lock, or nothing has been tried yet.
    Waiting,
    /// It cannot seek to lead, and why.
    Hindered(String),
}

/// Runs `lead` whenever this process holds the advisory lock `key`, until `cancel`; `standing` tells how it stands.
///
/// The lock belongs to a connection that is taken from the pool for it, and proven to be no pooler's. When that is lost, is
/// served by another session, or does not hold the lock any more, the token given to `lead` is cancelled and leadership is
/// sought again; the same happens when `lead` returns by itself. After `cancel`, `lead` may finish in its own time: whoever
/// awaits this function bounds the shutdown.
///
/// For a moment there may be two leaders, for nobody can stop a process that does not know yet that it was cut off: what
/// `lead` does must be safe to do twice.
pub async fn hold<L, F>(
    database: &Database,
    key: i64,
    standing: &watch::Sender<Standing>,
    cancel: &CancellationToken,
    lead: L,
) where
    L: Fn(CancellationToken) -> F,
    F: Future<Output = ()>,
{
    let mut pause = TRY_INTERVAL;
    while !cancel.is_cancelled() {
        let sought = tokio::select! {
            () = cancel.cancelled() => return,
            sought = seek(database, key, standing) => sought,
        };
        match sought {
            Ok(session) => {
                tracing::info!(key, "leadership taken");
                standing.send_replace(Standing::Leading);
                lead_while_held(database, &session, key, cancel, &lead).await;
                standing.send_replace(Standing::Waiting);
                give_up(database, session, key).await;
                tracing::info!(key, "leadership given up");
                pause = TRY_INTERVAL;
            }
            Err(error) => {
                tracing::warn!(key, %error, "leadership cannot be sought");
                standing.send_replace(Standing::Hindered(error.to_string()));
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
        tokio::select! {
            () = cancel.cancelled() => {}
            () = sleep(jittered(pause)) => {}
        }
    }
}

/// Who holds the lock `key`, in words; `None` when nobody does.
pub async fn holder(client: &impl GenericClient, key: i64) -> Result<Option<String>, Error> {
    let statement = format!(
        "SELECT format('pid %s (%s)', l.pid, coalesce(nullif(a.application_name, ''), 'no application_name'))
         FROM (SELECT pid FROM pg_locks WHERE {LOCK}) l LEFT JOIN pg_stat_activity a USING (pid) LIMIT 1"
    );
    let row = client.query_opt(&statement, &[&key]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Waits until this process holds the lock, and returns the session that holds it.
async fn seek(database: &Database, key: i64, standing: &watch::Sender<Standing>) -> Result<Session, Error> {
    let session = database.session().await?;
    loop {
        let locked = timeout(HEARTBEAT, session.client.query_one(TRY_LOCK, &[&key, &session.pid])).await;
        let locked: Option<bool> = locked.map_err(Error::unavailable)??.try_get(0)?;
        match locked {
            Some(true) if is_held(&session, key).await.is_ok_and(|held| held) => return Ok(session),
            Some(false) => standing.send_replace(Standing::Waiting),
            _ => {
                give_up(database, session, key).await;
                return Err(Error::unavailable(
                    "another session than ours serves the leadership's connection",
                ));
            }
        };
        sleep(jittered(TRY_INTERVAL)).await;
    }
}

/// Whether the session is the one that we know, holds the lock, and its server takes writes.
async fn is_held(session: &Session, key: i64) -> Result<bool, Error> {
    let statement = format!(
        "SELECT pg_backend_pid() = $2 AND current_setting('transaction_read_only') = 'off'
             AND EXISTS (SELECT FROM pg_locks WHERE {LOCK} AND pid = $2)"
    );
    let held = timeout(HEARTBEAT, async {
        let statement = session.client.prepare_cached(&statement).await?;
        session.client.query_one(&statement, &[&key, &session.pid]).await
    });
    Ok(held.await.map_err(Error::unavailable)??.try_get(0)?)
}

/// Ends the session. A pooler that has come between would keep the lock in a session of its own, so that one is ended as well.
async fn give_up(database: &Database, session: Session, key: i64) {
    let pid = session.pid;
    session.end().await;
    let statement = format!("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE {LOCK} AND pid = $2");
    let freed = async { Ok::<_, Error>(database.another().await?.execute(&statement, &[&key, &pid]).await?) };
    match timeout(HEARTBEAT, freed).await {
        Ok(Ok(0)) => {}
        Ok(Ok(_)) => tracing::warn!(key, pid, "the lock stayed behind in a session, which is ended"),
        // A server that is away holds no lock, and one that hangs frees it when it sees the end of the connection.
        Ok(Err(error)) => tracing::debug!(key, %error, "whether the lock is free is unknown"),
        Err(_) => tracing::debug!(key, "whether the lock is free is unknown"),
    }
}

async fn lead_while_held<L, F>(
    database: &Database,
    session: &Session,
    key: i64,
    cancel: &CancellationToken,
    lead: &L,
) where
    L: Fn(CancellationToken) -> F,
    F: Future<Output = ()>,
{
    let leading = cancel.child_token();
    let work = lead(leading.clone());
    tokio::pin!(work);
    tokio::select! {
        () = &mut work => return,
        () = lost(database, session, key) => {}
    }
    leading.cancel();
    if timeout(STEP_DOWN, work).await.is_err() {
        tracing::warn!("the leader's work did not end in time and was dropped");
    }
}

/// Returns when the session is gone, does not answer, does not hold the lock, or is ours alone no more.
async fn lost(database: &Database, session: &Session, key: i64) {
    loop {
        match is_held(session, key).await {
            Ok(true) => {
                // Without another connection nothing is said of ours.
                if let Err(error @ Error::Unfit(_)) = database.prove_again(session).await {
                    return tracing::warn!(key, %error, "the leader's session is not its own any more");
                }
            }
            Ok(false) => return tracing::warn!(key, "the leader's session does not hold its lock any more"),
            Err(error) => return tracing::warn!(key, %error, "the leader's connection was lost"),
        }
        let next = Instant::now() + HEARTBEAT;
        while Instant::now() < next && !session.client.is_closed() {
            sleep(LOOK_INTERVAL).await;
        }
    }
}

/// 90 to 110 % of `pause`, so that replicas do not march in step.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.9..1.1))
}
