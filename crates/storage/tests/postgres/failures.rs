use std::time::Instant;

use devstack::testing::DEADLINE;
use storage::{Database, Error};

use crate::Fixture;

#[tokio::test]
async fn bad_rows_are_rejected_with_their_constraint_and_without_their_values() {
    let fixture = Fixture::new();
    fixture
        .execute("CREATE TABLE t (id text CONSTRAINT t_once PRIMARY KEY); INSERT INTO t VALUES ('hunter2')")
        .await;
    let client = fixture.database.client().await.unwrap();
    let error = Error::from(client.batch_execute("INSERT INTO t VALUES ('hunter2')").await.unwrap_err());
    assert!(matches!(error, Error::Rejected(_)) && !error.is_outage());
    assert_eq!(error.constraint(), Some("t_once"));
    assert_eq!(
        error.to_string(),
        "statement rejected: db error: duplicate key value violates unique constraint \"t_once\" (23505)"
    );

    // Nor do those who print it in another way, or one cause after the other.
    let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    let told = causes.fold(format!("{error:?}"), |told, cause| format!("{told}: {cause}: {cause:?}"));
    assert!(!told.contains("hunter2"), "{told}");

    let error =
        Error::from(client.execute("INSERT INTO t VALUES ($1)", &[&"nul \0 byte"]).await.unwrap_err());
    assert!(matches!(error, Error::Rejected(_)), "{error}");
    let wrong_type = Error::from(client.query_one("SELECT $1::text", &[&5_i32]).await.unwrap_err());
    assert!(matches!(wrong_type, Error::Rejected(_)), "{wrong_type}");
}

#[tokio::test]
async fn what_every_row_would_suffer_is_an_outage() {
    let fixture = Fixture::new();
    fixture.execute("CREATE TABLE t (id int)").await;
    for (given, sql) in [
        ("", "SELECT * FROM no_such_table"),
        ("SET statement_timeout = '10ms'", "SELECT pg_sleep(5)"),
        ("SET default_transaction_read_only = on", "INSERT INTO t VALUES (1)"),
        ("", "DO $$ BEGIN RAISE 'disk full' USING ERRCODE = '53100'; END $$"),
    ] {
        let client = reconnect(&fixture).client().await.unwrap();
        client.batch_execute(given).await.unwrap();
        let error = Error::from(client.batch_execute(sql).await.expect_err(sql));
        assert!(matches!(error, Error::Unavailable(_)), "{sql}: {error}");
    }
}

fn reconnect(fixture: &Fixture) -> Database {
    Database::connect(fixture.server.url(), "storage-test", 1).expect("a valid URL")
}

#[tokio::test]
async fn a_killed_backend_is_an_outage_and_the_pool_recovers() {
    let fixture = Fixture::new();
    let client = fixture.database.client().await.unwrap();
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let sleeping = client.batch_execute("SELECT pg_sleep(20)");
    let kill = format!("SELECT pg_terminate_backend({pid})");
    let (error, ()) = tokio::join!(sleeping, fixture.execute(&kill));
    let error = Error::from(error.unwrap_err());
    assert!(matches!(error, Error::Unavailable(_)), "{error}");

    let after = Error::from(client.batch_execute("SELECT 1").await.unwrap_err());
    assert!(matches!(after, Error::Unavailable(_)), "{after}");
    drop(client);
    fixture.database.ping().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_away_is_an_outage() {
    let away = Database::connect("postgres://pay:hunter2@127.0.0.1:1/pay", "storage-test", 1).unwrap();
    let error = away.ping().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    let text = format!("{error} {away:?}");
    assert!(text.contains("refused") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn an_exhausted_pool_makes_nobody_wait_for_ever() {
    let fixture = Fixture::new();
    let small = reconnect(&fixture);
    let _held = small.client().await.unwrap();
    let started = Instant::now();
    let error = small.ping().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    assert!(started.elapsed() < DEADLINE, "it gives up");
}

#[tokio::test]
async fn every_session_has_its_bounds() {
    let fixture = Fixture::new();
    let client = fixture.database.client().await.unwrap();
    for (setting, expected) in [
        ("statement_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "1min"),
        ("timezone", "UTC"),
        ("application_name", "storage-test"),
    ] {
        let value: String = client.query_one(&format!("SHOW {setting}"), &[]).await.unwrap().get(0);
        assert_eq!(value, expected, "{setting}");
    }
}
