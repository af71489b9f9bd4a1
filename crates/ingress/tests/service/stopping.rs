//! The soft end: what is committed while the service stops is published, if the broker is there.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;

use crate::support::{World, eventually, paid};

/// Sessions that wait for a lock, and leaders of the outbox.
const WAITING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
const LEADERS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
const PENDING: &str = "SELECT count(*) FROM pay.outbox_pending";
/// Below the five seconds that a publish waits for a connection which is just being made.
const SHORT_GRACE: Duration = Duration::from_secs(4);

async fn count(database: &storage::Database, statement: &str) -> i64 {
    database.client().await.unwrap().query_one(statement, &[]).await.unwrap().get(0)
}

/// Waits until the ingress takes no more connections.
async fn closed(url: &str) {
    eventually("the listener is closed", async || {
        let address = url.strip_prefix("http://").unwrap();
        tokio::net::TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_under_way_at_the_soft_end_leave_an_empty_outbox() {
    let world = World::create();
    let ingress = world.ingress(&[]).await;
    let numbers = join_all((0..20).map(|order| {
        let ingress = &ingress;
        async move { ingress.pay_order(&order.to_string()).await }
    }))
    .await;
    // The relay leads and is connected.
    assert_eq!(ingress.callback(&paid(&numbers[0])).await, StatusCode::NO_CONTENT);
    eventually("it is published", async || (ingress.pending().await == 0).then_some(())).await;

    let database = storage::Database::connect(world.database.url(), "test", 4).unwrap();
    let holding = database.client().await.unwrap();
    holding.batch_execute("BEGIN; SELECT 1 FROM pay.pay_orders FOR UPDATE").await.unwrap();
    let notices: Vec<_> = numbers[1..].iter().map(paid).collect();
    let mut callbacks = Box::pin(join_all(notices.iter().map(|notice| ingress.callback(notice))));
    let held = eventually("the callbacks wait for the lock", async || {
        (count(&database, WAITING).await > 0).then_some(())
    });
    tokio::select! {
        _ = &mut callbacks => panic!("the callbacks did not wait"),
        () = held => {}
    }
    let url = ingress.url.clone();
    ingress.begin_stop(Duration::from_secs(10));
    let release = async {
        closed(&url).await;
        holding.batch_execute("COMMIT").await.unwrap();
    };
    let (answers, ()) = tokio::join!(callbacks, release);
    assert!(answers.iter().all(|status| *status == StatusCode::NO_CONTENT), "{answers:?}");
    ingress.stopped().await;
    assert_eq!(count(&database, PENDING).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_soft_end_does_not_wait_for_a_broker_that_is_away() {
    let (ingress, server) = World::without_broker(&[]).await;
    let database = storage::Database::connect(server.url(), "test", 4).unwrap();
    let number = ingress.pay_order("1").await;
    eventually("the relay leads", async || (count(&database, LEADERS).await > 0).then_some(())).await;
    assert_eq!(ingress.callback(&paid(&number)).await, StatusCode::NO_CONTENT);
    ingress.begin_stop(SHORT_GRACE);
    // Fails when the grace is over.
    ingress.stopped().await;
    assert_eq!(count(&database, PENDING).await, 1, "it waits for the next start");
}
