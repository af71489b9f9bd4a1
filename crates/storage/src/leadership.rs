//! One leader among replicas, by a session advisory lock.

use std::future::Future;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::database::Session;
use crate::{Database, Error};

/// How often the others try for the lock.
const TRY_INTERVAL: Duration = Duration::from_secs(1);
/// Longest pause between two tries while the database is away.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// How often a leader asks whether its session still lives, and how long it waits for the answer. A frozen server closes
/// no connection.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long the work of a lost leadership may take to end before it is dropped.
const STEP_DOWN: Duration = Duration::from_secs(5);

const TRY_LOCK: &str = "SELECT pg_try_advisory_lock($1)";

/// Runs `lead` whenever this process holds the advisory lock `key`, until `cancel`.
///
/// The lock belongs to a connection of its own (a pooler in transaction mode must not stand between). When that connection
/// is lost, the token given to `lead` is cancelled and leadership is sought again; the same happens when `lead` returns by
/// itself. After `cancel`, `lead` may finish in its own time: whoever awaits this function bounds the shutdown.
///
/// For a moment there may be two leaders, for nobody can stop a process that does not know yet that it was cut off: what
/// `lead` does must be safe to do twice.
pub async fn hold<L, F>(database: &Database, key: i64, cancel: &CancellationToken, lead: L)
where
    L: Fn(CancellationToken) -> F,
    F: Future<Output = ()>,
{
    let mut pause = TRY_INTERVAL;
    while !cancel.is_cancelled() {
        let sought = tokio::select! {
            () = cancel.cancelled() => return,
            sought = seek(database, key) => sought,
        };
        match sought {
            Ok(mut session) => {
                tracing::info!(key, "leadership taken");
                lead_while_held(&mut session, cancel, &lead).await;
                tracing::info!(key, "leadership given up");
                pause = TRY_INTERVAL;
            }
            Err(error) => {
                tracing::warn!(key, %error, "leadership cannot be sought");
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
        tokio::select! {
            () = cancel.cancelled() => {}
            () = sleep(jittered(pause)) => {}
        }
    }
}

/// Waits until this process holds the lock, and returns the session that holds it.
async fn seek(database: &Database, key: i64) -> Result<Session, Error> {
    let session = database.session().await?;
    loop {
        let locked = timeout(HEARTBEAT, session.client.query_one(TRY_LOCK, &[&key])).await;
        if locked.map_err(Error::unavailable)??.get(0) {
            return Ok(session);
        }
        sleep(jittered(TRY_INTERVAL)).await;
    }
}

async fn lead_while_held<L, F>(session: &mut Session, cancel: &CancellationToken, lead: &L)
where
    L: Fn(CancellationToken) -> F,
    F: Future<Output = ()>,
{
    let leading = cancel.child_token();
    let work = lead(leading.clone());
    tokio::pin!(work);
    tokio::select! {
        () = &mut work => return,
        () = lost(session) => tracing::warn!("the leader's connection was lost"),
    }
    leading.cancel();
    if timeout(STEP_DOWN, work).await.is_err() {
        tracing::warn!("the leader's work did not end in time and was dropped");
    }
}

/// Returns when the session is gone or does not answer.
async fn lost(session: &mut Session) {
    while let Ok(Ok(_)) = timeout(HEARTBEAT, session.client.simple_query("SELECT 1")).await {
        // Ends at once when the server closes the connection.
        if timeout(HEARTBEAT, &mut session.ended).await.is_ok() {
            return;
        }
    }
}

/// 90 to 110 % of `pause`, so that replicas do not march in step.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.9..1.1))
}
