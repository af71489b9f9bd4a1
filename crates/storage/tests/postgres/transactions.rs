use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use storage::{Database, Error, Transaction};
use tokio::sync::Barrier;

use crate::{Fixture, eventually};

/// An error as a service has it.
#[derive(Debug, thiserror::Error)]
enum StoreError {
    #[error("refused")]
    Refused,
    #[error(transparent)]
    Storage(#[from] Error),
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Storage(error.into())
    }
}

async fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture
        .execute("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL); INSERT INTO t VALUES (1, 0), (2, 0)")
        .await;
    fixture
}

async fn add(tx: &Transaction<'_>, id: i32) -> Result<(), StoreError> {
    let update = tx.prepare_cached("UPDATE t SET n = n + 1 WHERE id = $1").await?;
    tx.execute(&update, &[&id]).await?;
    Ok(())
}

async fn add_all(database: &Database, ids: &[i32]) -> Result<usize, StoreError> {
    database
        .transaction(|tx| {
            Box::pin(async move {
                for id in ids {
                    add(&tx, *id).await?;
                }
                Ok(ids.len())
            })
        })
        .await
}

#[tokio::test]
async fn it_commits_from_a_spawned_task() {
    let fixture = fixture().await;
    let database = fixture.database.clone();
    let added = tokio::spawn(async move { add_all(&database, &[1, 2, 1]).await }).await.unwrap();
    assert_eq!(added.unwrap(), 3);
    assert_eq!(fixture.count("SELECT sum(n) FROM t").await, 3);
}

#[tokio::test]
async fn an_error_of_the_work_rolls_back_and_comes_out_as_it_is() {
    let fixture = fixture().await;
    let result: Result<(), StoreError> = fixture
        .database
        .transaction(|tx| {
            Box::pin(async move {
                add(&tx, 1).await?;
                Err(StoreError::Refused)
            })
        })
        .await;
    assert!(matches!(result, Err(StoreError::Refused)));
    assert_eq!(fixture.count("SELECT sum(n) FROM t").await, 0);
}

#[tokio::test]
async fn a_dropped_transaction_rolls_back_and_frees_its_locks() {
    let fixture = fixture().await;
    let database = fixture.database.clone();
    let reached = Arc::new(Barrier::new(2));
    let inside = Arc::clone(&reached);
    let task = tokio::spawn(async move {
        let inside = &inside;
        let work = database.transaction(|tx| {
            Box::pin(async move {
                add(&tx, 1).await?;
                inside.wait().await;
                std::future::pending::<Result<(), StoreError>>().await
            })
        });
        work.await
    });
    reached.wait().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    add_all(&fixture.database, &[1]).await.unwrap();
    assert_eq!(fixture.count("SELECT sum(n) FROM t").await, 1);
}

#[tokio::test]
async fn nobody_waits_behind_the_statement_of_a_dropped_transaction() {
    let fixture = fixture().await;
    let asleep = fixture.database.transaction(|tx| {
        Box::pin(async move {
            tx.batch_execute("SELECT pg_sleep(25)").await.map_err(Error::from)?;
            Ok::<_, Error>(())
        })
    });
    assert!(tokio::time::timeout(Duration::from_millis(500), asleep).await.is_err());
    let next = fixture.database.transaction(|tx| Box::pin(async move { add(&tx, 7).await }));
    tokio::time::timeout(Duration::from_secs(15), next).await.expect("another session").unwrap();
}

#[tokio::test]
async fn a_deadlock_is_repeated_and_both_succeed() {
    let fixture = fixture().await;
    let meet = Arc::new(Barrier::new(2));
    let attempts = Arc::new(AtomicU32::new(0));
    let run = |first: i32, second: i32| {
        let (database, meet, attempts) = (fixture.database.clone(), Arc::clone(&meet), Arc::clone(&attempts));
        tokio::spawn(async move {
            let (meet, attempts) = (&meet, &attempts);
            let work = database.transaction(|tx| {
                Box::pin(async move {
                    add(&tx, first).await?;
                    // Only the first attempts wait for one another; the repeated one finds nobody.
                    if attempts.fetch_add(1, Ordering::SeqCst) < 2 {
                        meet.wait().await;
                    }
                    add(&tx, second).await
                })
            });
            work.await
        })
    };
    let (one, other) = (run(1, 2), run(2, 1));
    one.await.unwrap().unwrap();
    other.await.unwrap().unwrap();
    assert_eq!(attempts.load(Ordering::SeqCst), 3, "one of the two was repeated");
    assert_eq!(fixture.count("SELECT sum(n) FROM t").await, 4);
}

#[tokio::test]
async fn retries_are_bounded_and_the_last_error_counts_as_an_outage() {
    let fixture = fixture().await;
    let attempts = AtomicU32::new(0);
    let attempts = &attempts;
    let result: Result<(), Error> = fixture
        .database
        .transaction(|tx| {
            Box::pin(async move {
                attempts.fetch_add(1, Ordering::SeqCst);
                tx.batch_execute("DO $$ BEGIN RAISE 'busy' USING ERRCODE = '40001'; END $$").await?;
                Ok(())
            })
        })
        .await;
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Retryable(_)) && error.is_outage(), "{error}");
    assert_eq!(attempts.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_constraint_checked_at_commit_rejects() {
    let fixture = fixture().await;
    fixture.execute("CREATE TABLE d (id int CONSTRAINT d_once UNIQUE DEFERRABLE INITIALLY DEFERRED)").await;
    let result: Result<(), Error> = fixture
        .database
        .transaction(|tx| {
            Box::pin(async move {
                tx.batch_execute("INSERT INTO d VALUES (1), (1)").await?;
                Ok(())
            })
        })
        .await;
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Rejected(_)), "{error}");
    assert_eq!(error.constraint(), Some("d_once"));
}

#[tokio::test]
async fn a_connection_lost_during_commit_is_unavailable() {
    let fixture = fixture().await;
    // The commit itself hangs, in a deferred trigger.
    fixture
        .execute(
            "CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM pg_sleep(20); RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER hang AFTER UPDATE ON t DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION hang()",
        )
        .await;
    let database = fixture.database.clone();
    let task = tokio::spawn(async move { add_all(&database, &[1]).await });
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND query = 'COMMIT' AND state = 'active'";
    eventually("the commit was killed", async || fixture.count(kill).await == 1).await;
    let error =
        tokio::time::timeout(Duration::from_secs(5), task).await.expect("prompt").unwrap().unwrap_err();
    assert!(matches!(error, StoreError::Storage(Error::Unavailable(_))), "{error}");
}
