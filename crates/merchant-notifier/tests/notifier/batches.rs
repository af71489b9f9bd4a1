//! What the dispatcher does in bulk: recording what was acknowledged, and claiming only what came due lately.

use std::time::Duration;

use merchant_notifier::EndpointChange;
use merchant_notifier::store::attempts::{self, Ended, Next, Recorded};
use merchant_notifier::store::leases::{Claimed, Room, Share};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::merchant::{Merchant, Reply};
use crate::store::{ROOM, URL, attempt, claim, record};
use crate::support::{TestDatabase, event, merchant};
use crate::webhooks::{LADDER, LIMITS, Replica, connect, statuses};

async fn due(merchants: &[&str], each: usize) -> TestDatabase {
    let db = TestDatabase::with_twins().await;
    let mut events = Vec::new();
    for merchant in merchants {
        db.endpoint(merchant, Some(URL)).await;
        events.extend((0..each).map(|order| event(merchant, &order.to_string())));
    }
    db.notify(&events).await;
    db
}

async fn deliver(db: &TestDatabase, claimed: &[Claimed]) -> Vec<Option<Recorded>> {
    let ended: Vec<_> =
        claimed.iter().map(|claimed| Ended::new(claimed, &attempt(Next::Delivered))).collect();
    attempts::record_acknowledged(&db.database.client().await.unwrap(), &ended).await.unwrap()
}

#[tokio::test]
async fn acknowledged_attempts_are_recorded_together_but_for_lost_leases() {
    let db = due(&["m1", "m2"], 3).await;
    db.execute("INSERT INTO notify.breakers VALUES ('m1', 7, now(), now())").await;
    let probe = claim(&db, &ROOM).await;
    let probed = probe.iter().filter(|claimed| claimed.merchant_id == merchant("m1")).count();
    assert_eq!((probe.len(), probed), (4, 1));

    let mut claimed = probe;
    let lost = claimed.iter().position(|claimed| claimed.merchant_id == merchant("m2")).unwrap();
    claimed[lost].lease_token = Uuid::new_v4();
    let recorded = deliver(&db, &claimed).await;
    for (claimed, (index, recorded)) in claimed.iter().zip(recorded.iter().enumerate()) {
        let closed = claimed.merchant_id == merchant("m1");
        let expected = (index != lost).then_some(Recorded { opened: false, closed });
        assert_eq!(*recorded, expected, "{}", claimed.merchant_id);
    }
    let delivered = "SELECT count(*) FROM ours.notifications
        WHERE status = 'DELIVERED' AND attempts = 1 AND lease_token IS NULL AND finished_at IS NOT NULL";
    assert_eq!(db.value::<i64>(delivered).await, 3);
    let logged = "SELECT count(*) FROM notify.attempts WHERE http_status = 200 AND response_excerpt = 'ok'";
    assert_eq!(db.value::<i64>(logged).await, 3);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM ours.breakers").await, 0);
    assert_eq!(deliver(&db, &claimed).await, [None; 4], "none of them a second time");
}

#[tokio::test]
async fn a_batch_of_one_leaves_what_a_single_record_leaves() {
    let db = due(&["m1"], 2).await;
    let claimed = claim(&db, &ROOM).await;
    assert!(record(&db, &claimed[0], Next::Delivered).await);
    assert_eq!(deliver(&db, &claimed[1..]).await, [Some(Recorded { opened: false, closed: false })]);
    let kinds =
        "SELECT count(DISTINCT (status, reason, attempts, lease_token, lease_until, finished_at IS NULL))
        FROM ours.notifications";
    assert_eq!(db.value::<i64>(kinds).await, 1);
    let kinds = "SELECT count(DISTINCT (attempt, duration_ms, http_status, error_kind, response_excerpt))
        FROM notify.attempts";
    assert_eq!(db.value::<i64>(kinds).await, 1);
}

#[tokio::test]
async fn who_has_acknowledged_gets_more_while_nothing_can_be_recorded() {
    let db = TestDatabase::create().await;
    let receiver = Merchant::start(|_| Reply::OK).await;
    connect(&db, "m1", &receiver, EndpointChange::default()).await;
    let count = 2 * LIMITS.per_endpoint as usize;
    let events: Vec<_> = (0..count).map(|order| event("m1", &order.to_string())).collect();
    db.notify(&events).await;
    let mut client = db.database.client().await.unwrap();
    let held = client.transaction().await.unwrap();
    held.execute("LOCK TABLE notify.attempts", &[]).await.unwrap();
    let replica = Replica::start(&db, LADDER);
    receiver.wait_for(count).await;
    held.rollback().await.unwrap();
    statuses(&db, "DELIVERED", i64::try_from(count).unwrap()).await;
    replica.stop().await;
    assert_eq!(receiver.received().len(), count);
}

#[tokio::test]
async fn a_claim_may_look_only_at_what_came_due_lately() {
    let db = due(&["m1", "m2"], 2).await;
    db.execute(
        "UPDATE ours.notifications SET next_attempt_at = now() - interval '1 hour' WHERE order_no = '0'",
    )
    .await;
    let after = OffsetDateTime::now_utc() - Duration::from_secs(600);
    let share = Share { merchant_id: merchant("m1"), share: 100, after: Some(after) };
    let claimed = claim(&db, &Room { shares: vec![share], ..ROOM.clone() }).await;
    let mut orders: Vec<_> =
        claimed.iter().map(|claimed| format!("{} {}", claimed.merchant_id, claimed.order_no)).collect();
    orders.sort();
    assert_eq!(orders, ["m1 1", "m2 0", "m2 1"]);
    assert!(claimed.iter().all(|claimed| (claimed.due_at > after) == (claimed.order_no.as_str() == "1")));
    assert_eq!(claim(&db, &ROOM).await.len(), 1, "a sweep finds the rest");
}
