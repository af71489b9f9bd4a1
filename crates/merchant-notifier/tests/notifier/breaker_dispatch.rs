//! The circuit breaker under dispatchers and merchants that fail, hang and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use events::PayEvent;
use merchant_notifier::EndpointChange;

use crate::merchant::{Merchant, Reply};
use crate::support::{TestDatabase, event, eventually};
use crate::webhooks::{LIMITS, Replica, connect, statuses};

const OPEN: &str = "SELECT count(*) FROM notify.breakers WHERE opened_at IS NOT NULL";
const IN_FLIGHT: &str = "SELECT count(*) FROM notify.notifications WHERE lease_token IS NOT NULL";

fn orders(merchant: &str, count: usize) -> Vec<PayEvent> {
    (0..count).map(|order| event(merchant, &format!("{merchant}-{order}"))).collect()
}

async fn counted(db: &TestDatabase, statement: &str, count: i64) {
    eventually(statement, async || (db.value::<i64>(statement).await == count).then_some(())).await;
}

/// A merchant that answers 500 until it is well.
async fn failing(after: Duration) -> (Merchant, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let script = move |_| {
        if is_well.load(Ordering::SeqCst) { Reply::OK } else { Reply { after, ..Reply::status(500) } }
    };
    (Merchant::start(script).await, well)
}

#[tokio::test]
async fn an_open_breaker_outlives_its_process_holds_the_rest_back_and_closes_by_itself() {
    let db = TestDatabase::create().await;
    let (down, well) = failing(Duration::ZERO).await;
    let other = Merchant::start(|_| Reply::OK).await;
    connect(&db, "down", &down, EndpointChange::default()).await;
    connect(&db, "other", &other, EndpointChange::default()).await;
    db.notify(&orders("down", 40)).await;
    let first = Replica::start(&db, "1h");
    counted(&db, OPEN, 1).await;
    counted(&db, IN_FLIGHT, 0).await;
    first.stop().await;
    let made = down.received().len();
    // What was in flight when it opened, beside what opened it.
    assert!((5..=5 + LIMITS.per_endpoint as usize).contains(&made), "{made} attempts");

    let second = Replica::start(&db, "1h");
    db.notify(&orders("other", 10)).await;
    statuses(&db, "DELIVERED", 10).await;
    assert_eq!(down.received().len(), made, "a restart has not forgotten");
    let untouched = "SELECT count(*) FROM notify.notifications WHERE attempts = 0";
    assert_eq!(db.value::<i64>(untouched).await, 40 - i64::try_from(made).unwrap());

    well.store(true, Ordering::SeqCst);
    db.execute("UPDATE notify.breakers SET probe_at = now()").await;
    counted(&db, untouched, 0).await;
    statuses(&db, "DELIVERED", 10 + 40 - i64::try_from(made).unwrap()).await;
    counted(&db, "SELECT count(*) FROM notify.breakers", 0).await;
    second.stop().await;
    assert_eq!(down.received().len(), 40, "the rest once, what had failed waits for its own time");
}

#[tokio::test]
async fn two_replicas_probe_one_at_a_time() {
    let db = TestDatabase::create().await;
    let answer = Duration::from_millis(50);
    let (down, well) = failing(answer).await;
    connect(&db, "m1", &down, EndpointChange::default()).await;
    db.notify(&orders("m1", 30)).await;
    let ladder = vec!["20ms"; 64].join(",");
    let replicas = [Replica::start(&db, &ladder), Replica::start(&db, &ladder)];
    counted(&db, OPEN, 1).await;
    // What both had in flight when it opened; what they could put in its place was claimed by then.
    let before = down.received().len() + 4 * LIMITS.per_endpoint as usize;
    let calls = down.wait_for(before + 8).await;
    assert!(calls[before..].windows(2).all(|pair| pair[1].at - pair[0].at >= answer), "two probes at a time");
    well.store(true, Ordering::SeqCst);
    statuses(&db, "DELIVERED", 30).await;
    for replica in replicas {
        replica.stop().await;
    }
}

#[tokio::test]
async fn a_breaker_that_is_open_delays_a_ladder_and_does_not_lengthen_it() {
    let db = TestDatabase::create().await;
    let (down, _) = failing(Duration::ZERO).await;
    connect(&db, "m1", &down, EndpointChange::default()).await;
    db.notify(&orders("m1", 3)).await;
    let replica = Replica::start(&db, "50ms,100ms,150ms");
    statuses(&db, "PARKED:attempts_exhausted", 3).await;
    replica.stop().await;
    assert_eq!(down.received().len(), 12);
    assert_eq!(db.value::<i64>(OPEN).await, 1);
}
