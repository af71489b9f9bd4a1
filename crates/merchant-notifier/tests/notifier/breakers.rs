//! The circuit breaker of an endpoint, statement by statement on a real server.

use std::time::Duration;

use events::PayEvent;
use futures_util::future::join_all;
use merchant_notifier::Ladder;
use merchant_notifier::dispatch::{ErrorKind, Rung, next, probe_after};
use merchant_notifier::store::attempts::{self, Attempt, Next, Recorded};
use merchant_notifier::store::breakers::{self, Breaker, OPENS_AFTER};
use merchant_notifier::store::intake::{NewNotification, insert_notifications};
use merchant_notifier::store::leases::{self, Claimed, Room};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::{ROOM, URL, attempt, claim};
use crate::support::{TestDatabase, event, merchant};

const LATER: Next = Next::Retry { after: Duration::from_secs(3600) };
/// Columns of `pg_stat_xact_user_tables`.
const READ: &str = "seq_tup_read + idx_tup_fetch";
const WRITTEN: &str = "n_tup_ins + n_tup_upd + n_tup_del";
const SCANS: &str = "seq_scan + idx_scan";
const NO_LEASE: &str = "SELECT count(*) FROM ours.notifications WHERE attempts = 0 AND lease_token IS NULL";

/// A database with an endpoint of `m1` and so many notifications due.
async fn due(count: usize) -> TestDatabase {
    let db = TestDatabase::with_twins().await;
    db.endpoint("m1", Some(URL)).await;
    let events: Vec<PayEvent> = (0..count).map(|order| event("m1", &format!("{order}"))).collect();
    db.notify(&events).await;
    // The first of them is the longest due.
    db.execute(
        "UPDATE ours.notifications SET next_attempt_at = now() + interval '1 s' * (order_no::int - 1000)",
    )
    .await;
    db
}

/// The same, with its breaker open: as many more have failed as it takes.
async fn open(count: usize) -> TestDatabase {
    let failures = usize::try_from(OPENS_AFTER).unwrap();
    let db = due(count + failures).await;
    for claimed in claim(&db, &Room { total: OPENS_AFTER.unsigned_abs(), ..ROOM.clone() }).await {
        fail(&db, &claimed).await;
    }
    assert!(breaker(&db).await.open);
    db
}

async fn record(db: &TestDatabase, claimed: &Claimed, attempt: &Attempt) -> Option<Recorded> {
    attempts::record(&db.database.client().await.unwrap(), claimed, attempt).await.unwrap()
}

/// Records a failure by the merchant's fault; a probe may follow in a minute.
async fn fail(db: &TestDatabase, claimed: &Claimed) -> Recorded {
    let failed = Attempt { probe_after: Some(Duration::from_secs(60)), ..attempt(LATER) };
    record(db, claimed, &failed).await.unwrap()
}

async fn succeed(db: &TestDatabase, claimed: &Claimed) -> Recorded {
    record(db, claimed, &attempt(Next::Delivered)).await.unwrap()
}

async fn breaker(db: &TestDatabase) -> Breaker {
    let client = db.database.client().await.unwrap();
    breakers::list(&client, Some(&merchant("m1")))
        .await
        .unwrap()
        .pop()
        .map_or_else(Breaker::default, |(_, breaker)| breaker)
}

/// Lets time go by for leases, notifications and breakers.
async fn pass(db: &TestDatabase, by: Duration) {
    let by = by.as_secs_f64();
    for (table, columns) in [
        ("notifications", ["lease_until", "next_attempt_at"].as_slice()),
        ("breakers", ["probe_at", "opened_at"].as_slice()),
    ] {
        let set = columns.iter().map(|column| format!("{column} = {column} - interval '1 s' * {by}"));
        db.execute(&format!("UPDATE ours.{table} SET {}", set.collect::<Vec<_>>().join(", "))).await;
    }
}

/// Claims by eight replicas at once.
async fn claims(db: &TestDatabase) -> Vec<Claimed> {
    join_all((0..8).map(|_| claim(db, &ROOM))).await.into_iter().flatten().collect()
}

#[tokio::test]
async fn it_opens_after_failures_in_a_row_and_a_success_forgets_them() {
    let db = due(20).await;
    let claimed = claim(&db, &ROOM).await;
    let (first, rest) = claimed.split_at(4);
    for claimed in first {
        assert_eq!(fail(&db, claimed).await, Recorded { opened: false, closed: false });
    }
    assert_eq!((breaker(&db).await.failures, breaker(&db).await.open), (4, false));
    assert_eq!(succeed(&db, &rest[0]).await, Recorded { opened: false, closed: false });
    assert_eq!(breaker(&db).await, Breaker::default());
    for claimed in &rest[1..5] {
        assert!(!fail(&db, claimed).await.opened);
    }
    // What is not the endpoint's fault neither counts nor ends the row.
    assert_eq!(record(&db, &rest[5], &attempt(LATER)).await, Some(Recorded { opened: false, closed: false }));
    assert!(fail(&db, &rest[6]).await.opened);
    assert!(!fail(&db, &rest[7]).await.opened, "it is open");
    let breaker = breaker(&db).await;
    assert!(breaker.open && breaker.failures == 6 && breaker.probe_at > breaker.opened_at, "{breaker:?}");
}

#[tokio::test]
async fn while_it_is_open_the_others_wait_untouched_and_one_probe_is_taken_by_all_replicas_together() {
    let db = open(30).await;
    db.endpoint("m2", Some(URL)).await;
    db.notify(&[event("m2", "1")]).await;
    let claimed = claims(&db).await;
    assert_eq!(claimed.iter().map(|c| c.merchant_id.as_str()).collect::<Vec<_>>(), ["m2"]);
    succeed(&db, &claimed[0]).await;
    assert_eq!(db.value::<i64>(NO_LEASE).await, 30);

    pass(&db, Duration::from_secs(60)).await;
    let probe = claims(&db).await;
    assert_eq!(probe.len(), 1, "{probe:?}");
    assert_eq!((probe[0].merchant_id.as_str(), probe[0].order_no.as_str()), ("m1", "5"), "the longest due");
    assert_eq!(db.value::<i64>(NO_LEASE).await, 29);
    fail(&db, &probe[0]).await;
    assert!(claims(&db).await.is_empty());

    pass(&db, Duration::from_secs(60)).await;
    let probe = claims(&db).await;
    assert_eq!(probe.len(), 1);
    assert_eq!(succeed(&db, &probe[0]).await, Recorded { opened: false, closed: true });
    assert_eq!(breaker(&db).await, Breaker::default());
    let flows = claim(&db, &ROOM).await;
    assert_eq!((flows.len(), flows.iter().all(|claimed| claimed.attempt == 1)), (28, true));
}

#[tokio::test]
async fn a_replica_that_dies_with_the_probe_holds_it_no_longer_than_its_lease() {
    let db = open(3).await;
    pass(&db, Duration::from_secs(60)).await;
    let dead = claims(&db).await.remove(0);
    pass(&db, leases::LEASE.checked_sub(Duration::from_secs(5)).unwrap()).await;
    assert!(claims(&db).await.is_empty());
    pass(&db, Duration::from_secs(5)).await;
    let other = claims(&db).await;
    assert_eq!((other.len(), other[0].notification_id), (1, dead.notification_id));
    // It was only frozen: what it comes back with moves nothing.
    let probe_at = breaker(&db).await.probe_at;
    assert_eq!(record(&db, &dead, &attempt(Next::Delivered)).await, None);
    assert_eq!(breaker(&db).await.probe_at, probe_at);
    assert!(succeed(&db, &other[0]).await.closed);
}

#[tokio::test]
async fn a_probe_that_was_not_started_or_says_nothing_makes_room_for_the_next() {
    let db = open(3).await;
    pass(&db, Duration::from_secs(60)).await;
    let probe = claims(&db).await;
    leases::release(&db.database.client().await.unwrap(), &probe).await.unwrap();
    let probe = claims(&db).await;
    assert_eq!(probe.len(), 1);
    assert_eq!(
        record(&db, &probe[0], &attempt(LATER)).await,
        Some(Recorded { opened: false, closed: false })
    );
    let next = claims(&db).await;
    assert_eq!(next.len(), 1);
    assert_ne!(next[0].notification_id, probe[0].notification_id);
}

#[tokio::test]
async fn what_was_in_flight_when_it_opened_neither_hurries_nor_delays_the_probe() {
    let db = due(20).await;
    let mut claimed = claim(&db, &Room { total: 10, ..ROOM.clone() }).await;
    let late = claimed.split_off(5);
    for claimed in &claimed {
        fail(&db, claimed).await;
    }
    let opened = breaker(&db).await;
    fail(&db, &late[0]).await;
    assert_eq!(breaker(&db).await.probe_at, opened.probe_at);
    db.execute("UPDATE ours.breakers SET probe_at = now()").await;
    let probe = claims(&db).await;
    fail(&db, &late[1]).await;
    record(&db, &late[2], &attempt(LATER)).await;
    leases::release(&db.database.client().await.unwrap(), &late[3..4]).await.unwrap();
    assert!(claims(&db).await.is_empty(), "one probe is in flight");
    // Any success proves that the merchant is back.
    assert!(succeed(&db, &late[4]).await.closed);
    assert!(!claims(&db).await.is_empty());
    assert!(!fail(&db, &probe[0]).await.opened);
    assert_eq!(breaker(&db).await.failures, 1);
}

#[tokio::test]
async fn failures_recorded_at_once_are_all_counted_and_open_it_once() {
    let db = due(100).await;
    let claimed = claim(&db, &ROOM).await;
    let recorded = join_all(claimed.iter().map(|claimed| fail(&db, claimed))).await;
    assert_eq!(recorded.iter().filter(|recorded| recorded.opened).count(), 1);
    assert_eq!(breaker(&db).await.failures, 100);
}

#[tokio::test]
async fn successes_failures_and_claims_at_once_do_not_stand_in_one_anothers_way() {
    let db = due(100).await;
    let one = Room { total: 1, ..ROOM.clone() };
    let replica = async |number: usize| {
        for round in 0..25 {
            // A merchant that fails three times of four, and claims and probes at every moment.
            db.execute("UPDATE ours.breakers SET probe_at = now() WHERE probe_at IS NOT NULL").await;
            for claimed in claim(&db, &one).await {
                if (number + round).is_multiple_of(4) {
                    succeed(&db, &claimed).await;
                } else {
                    fail(&db, &claimed).await;
                }
            }
        }
    };
    // A deadlock would be an error of one of them.
    join_all((0..8).map(replica)).await;
    let attempts: i64 = db.value("SELECT count(*) FROM notify.attempts").await;
    let touched: i64 = db.value("SELECT count(*) FROM ours.notifications WHERE attempts = 1").await;
    assert_eq!(attempts, touched);
    assert!(touched > 20, "{touched}");
}

#[tokio::test]
async fn a_lone_notification_keeps_the_times_of_its_ladder() {
    let ladders = [merchant_notifier::DEFAULT_LADDER, "1h,1s,1s,1s,1s,1s,1s,1s", "1s,2s,3s,4s,5s,6s,7s"];
    for ladder in ladders {
        let db = due(1).await;
        let ladder: Ladder = ladder.parse().unwrap();
        let (mut attempts, mut opened) = (0, 0);
        loop {
            let claimed = claim(&db, &ROOM).await;
            assert_eq!(claimed.len(), 1, "attempt {attempts} of {ladder}");
            attempts += 1;
            let next = next(
                None,
                false,
                Rung { ladder: &ladder, attempt: claimed[0].ladder_attempt },
                OffsetDateTime::now_utc(),
                0.9,
            );
            let probe_after = probe_after(ErrorKind::Connect, false, &next, &ladder);
            let failed = Attempt { probe_after, ..attempt(next.clone()) };
            opened += u32::from(record(&db, &claimed[0], &failed).await.unwrap().opened);
            let Next::Retry { after } = next else { break };
            pass(&db, after.checked_sub(Duration::from_millis(500)).unwrap()).await;
            assert!(claim(&db, &ROOM).await.is_empty(), "too early");
            pass(&db, Duration::from_millis(500)).await;
        }
        assert_eq!((attempts, opened), (ladder.to_millis().len() + 1, 1));
    }
}

#[tokio::test]
async fn what_is_retried_by_hand_waits_for_the_probe_and_is_not_lost() {
    let db = due(5).await;
    for claimed in claim(&db, &ROOM).await {
        let exhausted = attempt(Next::Park { reason: "attempts_exhausted" });
        let failed = Attempt { probe_after: Some(Duration::from_secs(60)), ..exhausted };
        record(&db, &claimed, &failed).await;
    }
    assert!(breaker(&db).await.open);
    let client = db.database.client().await.unwrap();
    let filter = merchant_notifier::store::notifications::Filter::default();
    let retried = merchant_notifier::store::retries::retry(&client, &filter, None, 10).await.unwrap();
    assert_eq!(retried, 5);
    assert!(claims(&db).await.is_empty());
    pass(&db, Duration::from_secs(60)).await;
    let probe = claims(&db).await;
    assert_eq!((probe.len(), probe[0].ladder_attempt), (1, 1));
    succeed(&db, &probe[0]).await;
    assert_eq!(claim(&db, &ROOM).await.len(), 4);
}

/// What a session has read and written, as PostgreSQL counts it; earlier transactions may be in it.
async fn counted(tx: &storage::Transaction<'_>, table: &str, what: &str) -> i64 {
    let statement =
        format!("SELECT {what} FROM pg_stat_xact_user_tables WHERE relid = 'notify.{table}'::regclass");
    tx.query_one(&statement, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn what_waits_behind_an_open_breaker_is_not_read() {
    let db = open(1).await;
    let mut client = db.database.client().await.unwrap();
    // Without twins: so many take long.
    let filled = client.batch_execute(
        "SET session_replication_role = replica;
        INSERT INTO notify.notifications (notification_id, event_id, merchant_id, order_no, pay_order_no, event_type, seq,
            version, occurred_at, status, body)
        SELECT gen_random_uuid(), gen_random_uuid(), 'm1', 'many-' || n, 'many-' || n, 'pay.success', 0, 2, now(), 'PENDING', ''
        FROM generate_series(1, 10000) n;
        RESET session_replication_role",
    );
    filled.await.unwrap();
    let tx = client.transaction().await.unwrap();
    // Once before, in either case: a connection plans a statement at its first execution, and newer servers read rows for that.
    breakers::holding(&tx).await.unwrap();
    let before = counted(&tx, "notifications", READ).await;
    assert_eq!(breakers::holding(&tx).await.unwrap().count, 1);
    let read = counted(&tx, "notifications", READ).await - before;
    assert!(read <= 20, "{read} rows read to count breakers, while nothing is known of the table");
    tx.commit().await.unwrap();
    db.execute("ANALYZE notify.notifications").await;
    for (probes, most) in [(0, 0), (1, 20)] {
        let mut client = db.database.client().await.unwrap();
        let planning = client.transaction().await.unwrap();
        assert_eq!(leases::claim(&planning, &ROOM).await.unwrap().len(), probes);
        planning.rollback().await.unwrap();
        let tx = client.transaction().await.unwrap();
        let before = counted(&tx, "notifications", READ).await;
        assert_eq!(leases::claim(&tx, &ROOM).await.unwrap().len(), probes);
        let read = counted(&tx, "notifications", READ).await - before;
        assert!(read <= most, "{read} rows read to claim {probes}");
        tx.commit().await.unwrap();
        drop(client);
        pass(&db, Duration::from_secs(60)).await;
    }
}

#[tokio::test]
async fn a_merchant_that_is_well_costs_no_write() {
    let db = due(1).await;
    let claimed = claim(&db, &ROOM).await.remove(0);
    let mut client = db.database.client().await.unwrap();
    let tx = client.transaction().await.unwrap();
    let before = counted(&tx, "notifications", WRITTEN).await;
    attempts::record(&tx, &claimed, &attempt(Next::Delivered)).await.unwrap().unwrap();
    assert_eq!(counted(&tx, "breakers", WRITTEN).await, 0);
    assert_eq!(counted(&tx, "notifications", WRITTEN).await - before, 1);
}

#[tokio::test]
async fn what_is_made_with_a_lease_looks_at_its_breaker_once() {
    let db = due(0).await;
    let event = event("m1", "10001");
    let new = [NewNotification {
        notification_id: Uuid::now_v7(),
        key: &event.key(),
        event: &event,
        body: b"{}",
        traceparent: None,
        lease: true,
    }];
    let mut client = db.database.client().await.unwrap();
    let tx = client.transaction().await.unwrap();
    let before = counted(&tx, "breakers", SCANS).await;
    let made = insert_notifications(&tx, &new, Uuid::now_v7()).await.unwrap();
    assert!(made[&new[0].notification_id].is_some(), "without a lease");
    assert_eq!(counted(&tx, "breakers", SCANS).await - before, 1);
}

#[tokio::test]
async fn only_breakers_that_hold_something_back_are_counted() {
    let db = open(1).await;
    let client = db.database.client().await.unwrap();
    assert_eq!(breakers::holding(&client).await.unwrap().count, 1);
    db.execute("UPDATE ours.notifications SET status = 'PARKED', reason = 'gone'").await;
    assert_eq!(breakers::holding(&client).await.unwrap().count, 0);
    assert!(breakers::forget(&client, &merchant("m1")).await.unwrap());
    assert!(!breakers::forget(&client, &merchant("m1")).await.unwrap());
}
