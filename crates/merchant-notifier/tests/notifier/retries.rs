//! Retries by hand, on a real server.

use std::time::Duration;

use events::PayEvent;
use futures_util::future::join_all;
use merchant_notifier::store::attempts::Next;
use merchant_notifier::store::leases;
use merchant_notifier::store::notifications::{self, Filter};
use merchant_notifier::store::retries::{self, Preview};
use merchant_notifier::store::trace;
use merchant_notifier::{EndpointChange, store::endpoints};
use time::OffsetDateTime;

use crate::store::{ROOM, URL, claim, expire_leases, record};
use crate::support::{TestDatabase, event, merchant};

const EXHAUSTED: Next = Next::Park { reason: "attempts_exhausted" };

/// A database with an endpoint of `m1` and so many notifications of it that used their ladder up.
async fn parked(count: usize) -> TestDatabase {
    let db = TestDatabase::with_twins().await;
    db.endpoint("m1", Some(URL)).await;
    let events: Vec<PayEvent> = (0..count).map(|order| event("m1", &format!("{order}"))).collect();
    db.notify(&events).await;
    park_due(&db, count).await;
    db
}

async fn park_due(db: &TestDatabase, count: usize) {
    let claimed = claim(db, &ROOM).await;
    assert_eq!(claimed.len(), count);
    for claimed in &claimed {
        assert!(record(db, claimed, EXHAUSTED).await);
    }
}

async fn preview(db: &TestDatabase, filter: &Filter) -> Preview {
    retries::preview(&db.database.client().await.unwrap(), filter).await.unwrap()
}

async fn retry(db: &TestDatabase, filter: &Filter, limit: i64) -> u64 {
    retry_as_of(db, filter, None, limit).await
}

async fn retry_as_of(db: &TestDatabase, filter: &Filter, as_of: Option<OffsetDateTime>, limit: i64) -> u64 {
    retries::retry(&db.database.client().await.unwrap(), filter, as_of, limit).await.unwrap()
}

#[tokio::test]
async fn what_is_retried_climbs_a_fresh_ladder_and_keeps_its_history() {
    let db = parked(1).await;
    assert_eq!(retry(&db, &Filter::default(), 10).await, 1);
    assert_eq!(retry(&db, &Filter::default(), 10).await, 0, "it is due already");
    let again = claim(&db, &ROOM).await.remove(0);
    assert_eq!((again.attempt, again.ladder_attempt), (2, 1));
    assert!(record(&db, &again, Next::Retry { after: Duration::ZERO }).await);
    let third = claim(&db, &ROOM).await.remove(0);
    assert_eq!((third.attempt, third.ladder_attempt), (3, 2));
    assert!(record(&db, &third, Next::Delivered).await);
    assert_eq!(retry(&db, &Filter::default(), 10).await, 0, "it is delivered");

    let client = db.database.client().await.unwrap();
    let attempts = notifications::attempts(&client, again.notification_id).await.unwrap();
    assert_eq!(attempts.iter().map(|attempt| attempt.attempt).collect::<Vec<_>>(), [1, 2, 3]);
    let steps = trace::trace(&client, "0").await.unwrap();
    assert_eq!(steps.iter().filter(|step| step.step == "notification_retried").count(), 1);
}

#[tokio::test]
async fn what_is_due_or_in_flight_is_left_alone_and_what_waits_may_be_advanced() {
    let db = TestDatabase::with_twins().await;
    db.endpoint("m1", Some(URL)).await;
    db.notify(&[event("m1", "10001"), event("m1", "10002")]).await;
    let pending = Filter { status: Some("PENDING"), ..Filter::default() };
    assert_eq!(preview(&db, &pending).await.count, 0, "due");
    let claimed = claim(&db, &ROOM).await;
    assert_eq!(retry(&db, &pending, 10).await, 0, "in flight");
    assert!(record(&db, &claimed[0], Next::Retry { after: Duration::from_secs(3600) }).await);
    assert_eq!(preview(&db, &pending).await.count, 1);
    assert_eq!(retry(&db, &pending, 10).await, 1);
    assert_eq!(retry(&db, &pending, 10).await, 0);

    // A worker that froze and whose lease is over may still record what it achieved.
    expire_leases(&db).await;
    assert_eq!(retry(&db, &Filter::default(), 10).await, 0);
    assert!(record(&db, &claimed[1], Next::Delivered).await);
    let due = claim(&db, &ROOM).await;
    assert_eq!((due.len(), due[0].notification_id), (1, claimed[0].notification_id));
    leases::release(&db.database.client().await.unwrap(), &due).await.unwrap();
}

#[tokio::test]
async fn one_run_retries_each_once_however_fast_it_fails_again() {
    let db = parked(3).await;
    let as_of = Some(preview(&db, &Filter::default()).await.as_of);
    assert_eq!(retry_as_of(&db, &Filter::default(), as_of, 2).await, 2);
    park_due(&db, 2).await;
    assert_eq!(retry_as_of(&db, &Filter::default(), as_of, 10).await, 1);
    assert_eq!(retry_as_of(&db, &Filter::default(), as_of, 10).await, 0);
    // Another run may try again.
    assert_eq!(retry(&db, &Filter::default(), 10).await, 2);
}

#[tokio::test]
async fn retries_at_the_same_time_share_what_there_is() {
    let db = parked(100).await;
    let filter = Filter { status: Some("PARKED"), ..Filter::default() };
    let retried = join_all((0..4).map(|_| retry(&db, &filter, 40))).await;
    assert_eq!(retried.iter().sum::<u64>(), 100, "{retried:?}");
    assert_eq!(claim(&db, &ROOM).await.len(), 100);
}

#[tokio::test]
async fn the_oldest_of_the_chosen_merchant_go_first() {
    let db = parked(3).await;
    db.endpoint("m2", Some(URL)).await;
    db.notify(&[event("m2", "10001")]).await;
    park_due(&db, 1).await;
    let m1 = Filter { merchant_id: Some(merchant("m1")), ..Filter::default() };
    let found = preview(&db, &m1).await;
    let oldest: OffsetDateTime = db.value("SELECT min(created_at) FROM ours.notifications").await;
    assert_eq!((found.count, found.oldest, found.held), (3, Some(oldest), 0));
    assert_eq!(retry(&db, &m1, 2).await, 2);
    let last: bool = db
        .value(
            "SELECT status = 'PARKED' FROM ours.notifications WHERE merchant_id = 'm1'
            ORDER BY notification_id DESC LIMIT 1",
        )
        .await;
    assert!(last);
    let tomorrow = OffsetDateTime::now_utc() + time::Duration::days(1);
    assert_eq!(retry(&db, &Filter { since: Some(tomorrow), ..Filter::default() }, 10).await, 0);
    assert_eq!(retry(&db, &Filter { until: Some(tomorrow), ..Filter::default() }, 10).await, 2);
}

#[tokio::test]
async fn what_its_endpoint_holds_is_counted_and_not_retried() {
    let db = parked(1).await;
    let client = db.database.client().await.unwrap();
    let disable = EndpointChange { enabled: Some(false), ..EndpointChange::default() };
    endpoints::put(&client, &merchant("m1"), &disable, b"").await.unwrap();
    let found = preview(&db, &Filter::default()).await;
    assert_eq!((found.count, found.oldest, found.held), (0, None, 1));
    assert_eq!(retry(&db, &Filter::default(), 10).await, 0);
    assert_eq!(
        db.value::<String>("SELECT reason FROM ours.notifications").await,
        "attempts_exhausted",
        "enabling the endpoint resumes what it held back, not what was given up"
    );
}
