//! What expires goes; what guards stays, and is enough.

use order_service::fold::MessageOutcome;
use order_service::order::OrderStatus;
use order_service::store::{self, contradictions, parked};
use storage::partitions::Maintainer;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::fixtures::{failed, refund, second_success, success};
use crate::store::{Fixture, RETENTION_DAYS, full, parked_event};

/// The log of handled events: the partition and the id of each.
async fn logged(fixture: &Fixture) -> Vec<(String, Uuid)> {
    let client = fixture.database.client().await.unwrap();
    let log = "SELECT tableoid::regclass::text, event_id FROM orders.handled ORDER BY occurred_at";
    let rows = client.query(log, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn what_expires_goes_and_a_repetition_of_it_changes_nothing() {
    let fixture = Fixture::with_orders(&["1", "2"]).await;
    let batch = [full(&success("1")), full(&refund("1", 300)), full(&failed("2"))];
    assert_eq!(fixture.apply(&batch).await, vec![MessageOutcome::Applied; 3]);
    parked::insert(&fixture.database, &parked_event(&success("9"), "invalid")).await.unwrap();
    let (one, two) = (fixture.order("1").await, fixture.order("2").await);
    assert_eq!((one.status, two.payments.len()), (OrderStatus::PartiallyRefunded, 1));

    let later = OffsetDateTime::now_utc() + Duration::days(60);
    let maintainer = Maintainer::new(fixture.database.clone(), vec![store::handled_table(RETENTION_DAYS)]);
    let report = maintainer.maintain(later).await.unwrap();
    assert_eq!((report.kept.len(), report.postponed.len()), (0, 0), "{report:?}");
    assert_eq!(parked::prune(&fixture.database, later, RETENTION_DAYS).await.unwrap(), 1);
    assert_eq!(logged(&fixture).await, []);

    assert_eq!(fixture.apply(&batch).await, vec![MessageOutcome::Duplicate; 3]);
    assert_eq!((fixture.order("1").await, fixture.order("2").await), (one, two));
    assert_eq!(logged(&fixture).await, [], "a day without a partition is not logged");
}

/// The id of another event, by a publisher's mistake, and a day that has no partition any more.
#[tokio::test]
async fn what_the_log_cannot_take_is_applied_all_the_same() {
    let fixture = Fixture::with_orders(&["1", "2", "3", "4", "5"]).await;
    let [first, mut same_id, mut old, mut new, mut alone] = ["1", "2", "3", "4", "5"].map(success);
    (same_id.event_id, same_id.occurred_at) = (first.event_id, first.occurred_at);
    old.occurred_at -= Duration::days(400);
    alone.occurred_at = old.occurred_at;
    new.occurred_at = first.occurred_at + Duration::SECOND;
    for batch in [vec![&first], vec![&same_id, &old, &new], vec![&alone]] {
        let messages: Vec<_> = batch.iter().map(|event| full(event)).collect();
        assert_eq!(fixture.apply(&messages).await, vec![MessageOutcome::Applied; batch.len()]);
        for event in batch {
            let order = fixture.order(event.order.order_no.as_str()).await;
            assert_eq!(order.status, OrderStatus::Paid);
        }
    }
    let ids: Vec<_> = logged(&fixture).await.into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, [first.event_id.0, new.event_id.0]);
}

#[tokio::test]
async fn an_event_on_either_side_of_midnight_is_logged_on_its_own_day_whenever_it_comes() {
    let fixture = Fixture::with_orders(&["1", "2"]).await;
    let midnight = OffsetDateTime::now_utc().replace_time(time::Time::MIDNIGHT);
    let (mut last, mut first) = (success("1"), success("2"));
    (last.occurred_at, first.occurred_at) = (midnight - Duration::MICROSECOND, midnight);
    for outcome in [MessageOutcome::Applied, MessageOutcome::Duplicate] {
        assert_eq!(fixture.apply(&[full(&last), full(&first)]).await, vec![outcome; 2]);
    }
    let partition = |at: OffsetDateTime, event: &events::PayEvent| {
        let (date, id) = (at.date().to_string().replace('-', ""), event.event_id.0);
        (format!("orders.handled_p{date}"), id)
    };
    let days = [partition(midnight - Duration::DAY, &last), partition(midnight, &first)];
    assert_eq!(logged(&fixture).await, days);
}

#[tokio::test]
async fn a_contradiction_stays_until_it_is_resolved_and_as_long_again() {
    let fixture = Fixture::with_orders(&[]).await;
    let database = &fixture.database;
    parked::insert(database, &parked_event(&second_success("1"), "second_payment")).await.unwrap();
    let later = OffsetDateTime::now_utc() + Duration::days(60);
    assert_eq!(parked::prune(database, later, RETENTION_DAYS).await.unwrap(), 0);

    let wanted = serde_json::from_value(serde_json::json!({})).unwrap();
    let [open] = &*contradictions::list(database, &wanted).await.unwrap() else { panic!("one is open") };
    let decision = serde_json::json!({"action": "dismissed", "note": "refunded", "by": "ops"});
    let decision = serde_json::from_value(decision).unwrap();
    contradictions::dismiss(database, open.contradiction_id, &decision, later).await.unwrap();
    assert_eq!(parked::prune(database, later, RETENTION_DAYS).await.unwrap(), 0);
    let much_later = later + Duration::days(8);
    assert_eq!(parked::prune(database, much_later, RETENTION_DAYS).await.unwrap(), 1);
}

#[tokio::test]
async fn parked_messages_expire_in_batches() {
    let fixture = Fixture::with_orders(&[]).await;
    let client = fixture.database.client().await.unwrap();
    let insert =
        "INSERT INTO orders.parked (queue, message_id, reason, detail, attempts, first_seen, upstream)
        SELECT 'q', n::text, 'undecodable', '', 1, now(), true FROM generate_series(1, 2500) n";
    client.execute(insert, &[]).await.unwrap();
    drop(client);
    let now = OffsetDateTime::now_utc();
    assert_eq!(parked::prune(&fixture.database, now, RETENTION_DAYS).await.unwrap(), 0);
    let later = now + Duration::days(8);
    assert_eq!(parked::prune(&fixture.database, later, RETENTION_DAYS).await.unwrap(), 2500);
}
