//! Leases that are taken with the notification itself, and what a claim costs.

use std::collections::BTreeSet;

use admin_api::audit::{Span, Stage};
use events::{EventId, PayEvent};
use merchant_notifier::store::attempts::Next;
use merchant_notifier::store::{audit, leases};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::merchant::{Merchant, Reply};
use crate::service::{Servers, message};
use crate::store::{ROOM, URL, claim, expire_leases, record};
use crate::support::{TestDatabase, event, refund_of};

#[tokio::test]
async fn what_is_new_is_leased_and_no_claim_takes_it() {
    let db = TestDatabase::with_twins().await;
    db.endpoint("m1", Some(URL)).await;
    let success = event("m1", "10001");
    let token = Some(Uuid::new_v4());
    assert_eq!(db.make(std::slice::from_ref(&success), token).await, [Some(true)]);
    assert_eq!(db.make(std::slice::from_ref(&success), token).await, [None]);
    assert!(claim(&db, &ROOM).await.is_empty());
    let held: Uuid = db.value("SELECT lease_token FROM ours.notifications").await;
    assert_eq!(Some(held), token);

    // What its lease was taken for was never done: it is claimed like any other.
    expire_leases(&db).await;
    let claimed = claim(&db, &ROOM).await.remove(0);
    assert!(record(&db, &claimed, Next::Delivered).await);
}

#[tokio::test]
async fn nothing_is_leased_that_a_claim_would_not_take() {
    let db = TestDatabase::with_twins().await;
    db.endpoint("m1", Some(URL)).await;
    db.endpoint("nowhere", None).await;
    db.endpoint("failing", Some(URL)).await;
    db.execute(
        "INSERT INTO notify.breakers (merchant_id, failures, opened_at, probe_at)
         VALUES ('failing', 5, now(), now() + interval '1 hour')",
    )
    .await;
    let token = Some(Uuid::new_v4());
    let success = event("m1", "10001");
    assert_eq!(db.notify(std::slice::from_ref(&success)).await, [true]);
    let others = [refund_of(&success), event("nowhere", "10002"), event("failing", "10003")];
    assert_eq!(
        db.make(&others, token).await,
        [Some(false); 3],
        "a lower version, no address, an open breaker"
    );
    assert_eq!(
        db.value::<i64>("SELECT count(*) FROM ours.notifications WHERE lease_until IS NOT NULL").await,
        0
    );
    let other = [event("m1", "10004")];
    assert_eq!(db.make(&other, token).await, [Some(true)], "the open breaker is another merchant's");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_takes_no_other_along() {
    let db = TestDatabase::with_twins().await;
    for merchant_id in ["m1", "m2", "m3"] {
        db.endpoint(merchant_id, Some(URL)).await;
    }
    let events = [event("m1", "10001"), event("m2", "10002"), event("m3", "10003")];
    assert_eq!(db.notify(&events).await, [true; 3]);
    db.execute("UPDATE ours.endpoints SET ladder_ms = '{0}' WHERE merchant_id = 'm2'").await;
    db.execute("UPDATE ours.notifications SET order_no = 'not an order' WHERE merchant_id = 'm3'").await;
    let merchants = async || {
        let claimed = claim(&db, &ROOM).await;
        claimed.iter().map(|claimed| claimed.merchant_id.to_string()).collect::<BTreeSet<_>>()
    };
    assert_eq!(merchants().await, BTreeSet::from(["m1".to_owned()]));
    expire_leases(&db).await;
    db.execute("UPDATE ours.endpoints SET ladder_ms = NULL").await;
    assert_eq!(merchants().await, ["m1", "m2"].map(str::to_owned).into(), "what is mended is sent");
}

/// A plan is made once for each connection and kept. Made while the queue was empty, it must not search the whole queue of a
/// merchant for every candidate when it is long.
#[tokio::test]
async fn a_claim_that_was_planned_on_an_empty_queue_reads_little_of_a_long_one() {
    let db = TestDatabase::create().await;
    for merchant in ["m1", "m2"] {
        db.endpoint(merchant, Some(URL)).await;
    }
    let mut client = db.database.client().await.unwrap();
    for _ in 0..10 {
        assert!(leases::claim(&client, &ROOM).await.unwrap().is_empty());
    }
    let waiting = "INSERT INTO notify.notifications (notification_id, event_id, merchant_id, order_no, pay_order_no,
            event_type, seq, version, occurred_at, body, status)
        SELECT gen_random_uuid(), gen_random_uuid(), 'm' || 1 + n % 2, 'O' || n, 'P' || n, 'pay.success', 0, 2, now(), '',
            'PENDING'
        FROM generate_series(1, 20000) n";
    db.execute(waiting).await;
    let tx = client.transaction().await.unwrap();
    assert_eq!(leases::claim(&tx, &ROOM).await.unwrap().len(), 100);
    let read = "SELECT (seq_tup_read + idx_tup_fetch)::bigint FROM pg_stat_xact_user_tables
        WHERE schemaname = 'notify' AND relname = 'notifications'";
    let read: i64 = tx.query_one(read, &[]).await.unwrap().get(0);
    assert!(read < 2_000, "{read} rows read for a claim of 100");
}

fn repeated(event: &PayEvent) -> PayEvent {
    PayEvent { event_id: EventId(Uuid::now_v7()), ..event.clone() }
}

/// Whoever published a fact first, its merchant is told of it by one notification: until that is delivered, every event of
/// the fact is on its way.
#[tokio::test]
async fn a_repetition_stands_where_the_notification_of_its_key_stands() {
    let servers = Servers::start().await;
    let replica = servers.replica().await;
    let merchant = Merchant::start(|_| Reply::OK).await;
    replica.connect("m1", &merchant).await;
    let first = event("m1", "10001");
    servers.publish([&first, &repeated(&first)].map(message).into()).await;
    servers.handled(2).await;
    replica.stop().await;
    let client = servers.db.database.client().await.unwrap();
    let now = OffsetDateTime::now_utc();
    let span = Span { from: now - Duration::hours(1), to: now + Duration::hours(1) };
    client.execute("UPDATE notify.notifications SET status = 'PENDING'", &[]).await.unwrap();
    let report = audit::report(&client, span).await.unwrap();
    assert_eq!([Stage::Pending, Stage::Duplicate].map(|stage| report.count(stage)), [2, 0]);
    client.execute("UPDATE notify.notifications SET status = 'DELIVERED'", &[]).await.unwrap();
    let report = audit::report(&client, span).await.unwrap();
    assert_eq!([Stage::Notified, Stage::Duplicate].map(|stage| report.count(stage)), [1, 1]);
}
