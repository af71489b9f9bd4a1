//! Behind a real `PgBouncer`.

use std::time::Duration;

use devstack::testing::pgbouncer::Pgbouncer;
use refinery::{Migration, Runner};
use storage::leadership::{Standing, hold};
use storage::{Database, Error, until_available};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{Fixture, eventually};

/// A wait would go on for ever.
const LIMIT: Duration = devstack::testing::DEADLINE;
const IGNORING: &str = "ignore_startup_parameters = options,extra_float_digits";
const ADVISORY_LOCKS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

fn runner() -> Runner {
    Runner::new(&[Migration::unapplied("V1__create", "CREATE TABLE pay.t (id int)").expect("a valid name")])
}

fn through(pooler: &Pgbouncer, fixture: &Fixture, connections: usize) -> Database {
    let url =
        format!("{}?options=-c%20geqo%3Doff%20-c%20timezone%3DAsia/Shanghai", pooler.url(&fixture.server));
    Database::connect(&url, "storage-test", connections).expect("a valid URL")
}

/// `lead` that does nothing until it is over.
async fn idle(leading: CancellationToken) {
    leading.cancelled().await;
}

#[tokio::test]
async fn in_session_mode_everything_holds() {
    for settings in ["", IGNORING, "server_reset_query ="] {
        let fixture = Fixture::new();
        fixture
            .execute(&format!("ALTER DATABASE {} SET timezone = 'Asia/Shanghai'", fixture.server.name()))
            .await;
        let Some(pooler) = Pgbouncer::start(&format!("pool_mode = session\n{settings}")) else { return };
        // The sessions of the first serve the second.
        for _ in 0..2 {
            let database = through(&pooler, &fixture, 4);
            until_available(|| database.migrate("pay", runner())).await.unwrap();
            let client = database.client().await.unwrap();
            for (setting, expected) in [
                ("timezone", "UTC"),
                ("statement_timeout", "30s"),
                ("plan_cache_mode", "force_generic_plan"),
                ("geqo", "off"),
            ] {
                let value: String = client.query_one(&format!("SHOW {setting}"), &[]).await.unwrap().get(0);
                assert_eq!(value, expected, "{setting} with {settings:?}");
            }
            drop(client);
            let checkup = database.checkup(&[]).await.unwrap();
            assert_eq!((checkup.pooled, checkup.differing_settings), (None, vec![]), "{settings:?}");

            let (standing, told) = watch::channel(Standing::Waiting);
            let cancel = CancellationToken::new();
            let (of_leader, until) = (database.clone(), cancel.clone());
            let leader = tokio::spawn(async move { hold(&of_leader, 7, &standing, &until, idle).await });
            eventually("a leader", async || *told.borrow() == Standing::Leading).await;
            assert_eq!(fixture.count(ADVISORY_LOCKS).await, 1);
            cancel.cancel();
            leader.await.unwrap();
            assert_eq!(fixture.count(ADVISORY_LOCKS).await, 0, "a session that serves others holds no lock");
        }
    }
}

#[tokio::test]
async fn in_transaction_and_statement_mode_a_start_is_refused_and_leaves_no_lock() {
    for mode in ["transaction", "statement"] {
        for pool_size in [1, 20] {
            let fixture = Fixture::new();
            let settings = format!("pool_mode = {mode}\ndefault_pool_size = {pool_size}\n{IGNORING}");
            let Some(pooler) = Pgbouncer::start(&settings) else { return };
            for connections in [1, 8] {
                let database = through(&pooler, &fixture, connections);
                let start = until_available(|| database.migrate("pay", runner()));
                let error = timeout(LIMIT, start).await.expect("at once").unwrap_err();
                let text = error.to_string();
                assert!(error.is_misconfigured() && error.is_outage(), "{mode} {pool_size}: {error}");
                assert!(text.contains("transaction") && text.contains("session pooling"), "{text}");
            }
            assert_eq!(fixture.count(ADVISORY_LOCKS).await, 0);
            assert_eq!(fixture.count("SELECT count(*) FROM pg_namespace WHERE nspname = 'pay'").await, 0);
        }
    }
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_found_also_while_others_keep_it_busy() {
    let fixture = Fixture::new();
    let settings = format!("pool_mode = transaction\ndefault_pool_size = 20\n{IGNORING}");
    let Some(pooler) = Pgbouncer::start(&settings) else { return };
    let others: Vec<_> = (0..6)
        .map(|_| {
            let other = through(&pooler, &fixture, 1);
            tokio::spawn(async move {
                loop {
                    if let Ok(client) = other.client().await {
                        let _result = client.simple_query("SELECT pg_sleep(0.002)").await;
                    }
                }
            })
        })
        .collect();
    for _ in 0..20 {
        let error = through(&pooler, &fixture, 2).migrate("pay", runner()).await.unwrap_err();
        assert!(error.is_misconfigured(), "{error}");
    }
    others.iter().for_each(tokio::task::JoinHandle::abort);
    assert_eq!(fixture.count(ADVISORY_LOCKS).await, 0);
}

#[tokio::test]
async fn nobody_leads_behind_a_pooler_in_transaction_mode_and_a_checkup_tells() {
    let fixture = Fixture::new();
    let Some(pooler) = Pgbouncer::start(&format!("pool_mode = transaction\n{IGNORING}")) else { return };
    let cancel = CancellationToken::new();
    let mut seekers = Vec::new();
    for _ in 0..2 {
        let (database, until) = (through(&pooler, &fixture, 4), cancel.clone());
        let (standing, told) = watch::channel(Standing::Waiting);
        let seeker = async move { hold(&database, 7, &standing, &until, async |_| panic!("it led")).await };
        seekers.push((tokio::spawn(seeker), told));
    }
    for (_, told) in &seekers {
        eventually(
            "both are told",
            async || matches!(&*told.borrow(), Standing::Hindered(why) if why.contains("transaction")),
        )
        .await;
    }
    let checkup = through(&pooler, &fixture, 2).checkup(&[]).await.unwrap();
    assert!(checkup.pooled.is_some_and(|why| why.contains("transaction")));
    cancel.cancel();
    for (seeker, _) in seekers {
        seeker.await.unwrap();
    }
    assert_eq!(fixture.count(ADVISORY_LOCKS).await, 0);
}

#[tokio::test]
async fn leaders_step_down_when_a_pooler_changes_to_transaction_mode() {
    let fixture = Fixture::new();
    let Some(pooler) = Pgbouncer::start("pool_mode = session") else { return };
    let (cancel, leaders) = (CancellationToken::new(), watch::Sender::new(0_u32));
    let mut seekers = Vec::new();
    for _ in 0..2 {
        let (database, until, leaders) = (through(&pooler, &fixture, 4), cancel.clone(), leaders.clone());
        let (standing, told) = watch::channel(Standing::Waiting);
        let seeker = async move {
            let lead = async |leading: CancellationToken| {
                leaders.send_modify(|count| *count += 1);
                assert_eq!(*leaders.borrow(), 1, "one at a time");
                leading.cancelled().await;
                leaders.send_modify(|count| *count -= 1);
            };
            hold(&database, 7, &standing, &until, lead).await;
        };
        seekers.push((seeker, told));
    }
    let (told, seekers): (Vec<_>, Vec<_>) = seekers.into_iter().map(|(seeker, told)| (told, seeker)).unzip();
    let changed = async {
        eventually("a leader", async || *leaders.borrow() == 1).await;
        pooler.reload(&format!("pool_mode = transaction\n{IGNORING}"));
        // After the next heartbeat.
        eventually("nobody leads", async || *leaders.borrow() == 0).await;
        eventually("none can be sought", async || {
            told.iter()
                .all(|told| matches!(&*told.borrow(), Standing::Hindered(why) if why.contains("transaction")))
        })
        .await;
        assert_eq!(*leaders.borrow(), 0);
        cancel.cancel();
    };
    tokio::join!(futures_util::future::join_all(seekers), changed);
    assert_eq!(fixture.count(ADVISORY_LOCKS).await, 0);
}

#[tokio::test]
async fn what_a_pooler_refuses_for_good_is_told_from_an_outage_behind_it() {
    let fixture = Fixture::new();
    let settings =
        "pool_mode = statement\nquery_wait_timeout = 1\n[databases]\nnowhere = host=127.0.0.1 port=1";
    let Some(pooler) = Pgbouncer::start(settings) else { return };
    let refused: Result<(), Error> = through(&pooler, &fixture, 1)
        .transaction(|tx| Box::pin(async move { Ok(tx.batch_execute("SELECT 1").await?) }))
        .await;
    let error = refused.unwrap_err();
    assert!(error.is_misconfigured() && error.code().is_some_and(|code| code.code() == "08P01"), "{error}");

    let url = pooler.url(&fixture.server).replace(fixture.server.name(), "nowhere");
    let error = Database::connect(&url, "storage-test", 1).unwrap().ping().await.unwrap_err();
    assert!(error.is_outage() && !error.is_misconfigured(), "{error}");
}
