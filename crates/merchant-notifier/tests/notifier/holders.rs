//! Rows that somebody else holds, by a lock or by a lease.

use std::time::Duration;

use merchant_notifier::EndpointChange;
use merchant_notifier::store::attempts::Next;
use merchant_notifier::store::notifications::Filter;
use merchant_notifier::store::{endpoints, leases, retries};

use crate::store::{ROOM, URL, claim, expire_leases, record};
use crate::support::{TestDatabase, event, merchant};

const EXHAUSTED: Next = Next::Park { reason: "attempts_exhausted" };

/// An endpoint of `m1` and a due notification for each of these orders.
async fn due(order_nos: &[&str]) -> TestDatabase {
    let db = TestDatabase::with_twins().await;
    db.endpoint("m1", Some(URL)).await;
    let events: Vec<_> = order_nos.iter().map(|order_no| event("m1", order_no)).collect();
    db.notify(&events).await;
    db
}

async fn set_enabled(db: &TestDatabase, enabled: bool) -> u64 {
    let client = db.database.client().await.unwrap();
    let change = EndpointChange { enabled: Some(enabled), ..EndpointChange::default() };
    endpoints::put(&client, &merchant("m1"), &change, b"").await.unwrap();
    endpoints::settle(&client).await.unwrap()
}

/// A statement that waits for a lock fails by its timeout.
#[tokio::test]
async fn claims_and_retries_take_what_nobody_has_locked_and_wait_for_none() {
    let db = due(&["1", "2", "3"]).await;
    let mut other = db.database.client().await.unwrap();
    let locking = other.transaction().await.unwrap();
    let lock = "SELECT FROM ours.notifications WHERE order_no = $1 FOR UPDATE";
    locking.execute(lock, &[&"1"]).await.unwrap();
    let claimed = claim(&db, &ROOM).await;
    assert_eq!(claimed.len(), 2);
    for claimed in &claimed {
        assert!(record(&db, claimed, EXHAUSTED).await);
    }
    locking.execute(lock, &[&"2"]).await.unwrap();
    let client = db.database.client().await.unwrap();
    assert_eq!(retries::retry(&client, &Filter::default(), None, 10).await.unwrap(), 1);
    locking.rollback().await.unwrap();
    assert_eq!(retries::retry(&client, &Filter::default(), None, 10).await.unwrap(), 1);
}

#[tokio::test]
async fn a_lease_is_released_by_its_holder_alone() {
    let db = due(&["1"]).await;
    let frozen = claim(&db, &ROOM).await;
    expire_leases(&db).await;
    let holder = claim(&db, &ROOM).await.remove(0);
    leases::release(&db.database.client().await.unwrap(), &frozen).await.unwrap();
    assert!(claim(&db, &ROOM).await.is_empty());
    assert!(record(&db, &holder, Next::Delivered).await);
}

#[tokio::test]
async fn a_change_of_the_endpoint_leaves_what_is_in_flight_and_what_was_given_up() {
    let db = due(&["1", "2", "3"]).await;
    let claimed = claim(&db, &ROOM).await;
    assert!(record(&db, &claimed[0], EXHAUSTED).await);
    assert!(record(&db, &claimed[1], Next::Retry { after: Duration::from_secs(3600) }).await);
    set_enabled(&db, false).await;
    assert_eq!(set_enabled(&db, true).await, 1, "what waited for its next attempt");
    assert!(record(&db, &claimed[2], Next::Delivered).await, "its lease was left alone");
}
