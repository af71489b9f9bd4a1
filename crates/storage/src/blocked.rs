//! Saying for whose lock one waits.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::error::SqlState;

use crate::session::Session;
use crate::{Database, Error};

/// How long something may wait before it is looked at why, and then again, twice as long each time.
const FIRST_LOOK: Duration = Duration::from_secs(3);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// For looking.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// Who stands in the way of a process. Of sessions of other users only the process is shown.
const HOLDERS: &str = "
    SELECT string_agg(format('pid %s (%s, %s, %s since %s)', pid, coalesce(nullif(application_name, ''), 'no application_name'),
        coalesce(host(client_addr), 'local'), coalesce(state, 'unknown'),
        to_char(state_change AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')), ', ')
    FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids($1))";

/// Does `work` of `session`. While it waits for a lock, warns who holds that, after 3 s and then at most once a minute.
pub(crate) async fn telling<T>(
    database: &Database,
    session_pid: i32,
    what: &str,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    let mut pause = FIRST_LOOK;
    loop {
        if let Ok(done) = timeout(pause, &mut work).await {
            return done;
        }
        match timeout(LOOK_TIMEOUT, holders(database, session_pid)).await {
            Ok(Ok(Some(holders))) => tracing::warn!(what, %holders, "waiting for a lock"),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                tracing::warn!(what, %error, "it takes long, and whether it waits for a lock is unknown");
            }
            Err(_) => tracing::warn!(what, "it takes long, and whether it waits for a lock is unknown"),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Takes the advisory lock of a schema's migrations by `statement`, which gets the schema.
///
/// # Errors
/// [`Error::Unavailable`] that names the holder when the lock is not free within the session's `lock_timeout`.
pub(crate) async fn lock_migrations(
    database: &Database,
    session: &Session,
    statement: &str,
    schema: &str,
) -> Result<(), Error> {
    let what = format!("the turn to migrate the schema {schema}");
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&schema];
    let locked = session.client.execute(statement, &parameters);
    match telling(database, session.pid, &what, locked).await {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            Err(Error::unavailable(format!(
                "{what} did not come in time: another session holds its advisory lock; see pg_locks, and end that session \
                 with pg_terminate_backend if it is not migrating"
            )))
        }
        Err(error) => Err(error.into()),
    }
}

async fn holders(database: &Database, pid: i32) -> Result<Option<String>, Error> {
    let client = database.another().await?;
    Ok(client.query_one(HOLDERS, &[&pid]).await?.try_get(0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_that_does_not_come_names_what_is_waited_for() {
        let server = devstack::testing::Database::create();
        let database = Database::connect(server.url(), "storage-test", 4).expect("a valid URL");
        let lock = "SELECT pg_advisory_lock(hashtext($1::text))";
        let mut sessions = Vec::new();
        for _ in 0..2 {
            let session = database.session().await.expect("a session");
            session.client.batch_execute("SET lock_timeout = '100ms'").await.expect("it is set");
            sessions.push(session);
        }
        lock_migrations(&database, &sessions[0], lock, "pay").await.expect("it is free");
        let error = lock_migrations(&database, &sessions[1], lock, "pay").await.expect_err("it is not free");
        assert!(error.is_outage() && !error.is_misconfigured(), "{error}");
        let told = error.to_string();
        assert!(
            told.contains("the turn to migrate the schema pay") && told.contains("advisory lock"),
            "{told}"
        );
    }
}
