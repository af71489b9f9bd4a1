//! Every statement on a real server.

use std::time::Duration;

use admin_api::audit::{Span, Stage};
use events::{EventType, OrderNo};
use merchant_notifier::store::attempts::{self, Attempt, Next};
use merchant_notifier::store::leases::{self, Claimed, Room, Share};
use merchant_notifier::store::notifications::{self, Filter};
use merchant_notifier::store::parked::{self, DeadLetter};
use merchant_notifier::store::{audit, endpoints, listings, retention, trace};
use merchant_notifier::{Ack, Change, EndpointChange};
use time::OffsetDateTime;

use crate::support::{TestDatabase, event, merchant, refund_of};

pub(crate) static ROOM: Room = Room { total: 100, share: 100, shares: Vec::new() };
pub(crate) const URL: &str = "https://merchant.example/notify";

pub(crate) async fn claim(db: &TestDatabase, room: &Room) -> Vec<Claimed> {
    leases::claim(&db.database.client().await.unwrap(), room).await.unwrap()
}

pub(crate) fn attempt(next: Next) -> Attempt {
    Attempt {
        started_at: OffsetDateTime::now_utc(),
        duration: Duration::from_millis(12),
        http_status: Some(200),
        error: None,
        response_excerpt: Some("ok".to_owned()),
        next,
        probe_after: None,
    }
}

pub(crate) async fn record(db: &TestDatabase, claimed: &Claimed, next: Next) -> bool {
    let client = db.database.client().await.unwrap();
    attempts::record(&client, claimed, &attempt(next)).await.unwrap().is_some()
}

async fn settle(db: &TestDatabase) -> u64 {
    endpoints::settle(&db.database.client().await.unwrap()).await.unwrap()
}

pub(crate) async fn expire_leases(db: &TestDatabase) {
    db.execute("UPDATE ours.notifications SET lease_until = now() - interval '1 second'").await;
}

#[tokio::test]
async fn an_endpoint_keeps_what_a_change_leaves_out() {
    let db = TestDatabase::with_twins().await;
    let client = db.database.client().await.unwrap();
    let full = EndpointChange {
        url: Change::Set(URL.to_owned()),
        enabled: Some(true),
        ack: Some(Ack::Success),
        ladder: Change::Set("1s,2s".parse().unwrap()),
        format: None,
    };
    let (first, made) = endpoints::put(&client, &merchant("m1"), &full, b"first").await.unwrap();
    assert!(made && first.ack == Ack::Success && first.ladder == Some("1s,2s".parse().unwrap()));

    let nothing = EndpointChange::default();
    let (kept, made) = endpoints::put(&client, &merchant("m1"), &nothing, b"second").await.unwrap();
    assert!(!made);
    assert_eq!((&kept.url, kept.ack, &kept.ladder), (&first.url, first.ack, &first.ladder));
    let secret: Vec<u8> = db.value("SELECT secret FROM ours.endpoints").await;
    assert_eq!(secret, b"first");
    assert_eq!(endpoints::any_keyring(&client).await.unwrap().map(|(_, any)| any), Some(secret));

    let cleared = EndpointChange { url: Change::Clear, ladder: Change::Clear, ..nothing };
    let (cleared, _) = endpoints::put(&client, &merchant("m1"), &cleared, b"third").await.unwrap();
    assert_eq!((cleared.url, cleared.ladder), (None, None));
    assert_eq!(endpoints::list(&client, Some(&merchant("m1"))).await.unwrap().len(), 1);
    assert!(endpoints::list(&client, Some(&merchant("m2"))).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_event_key_makes_one_notification_whatever_comes_again() {
    let db = TestDatabase::with_twins().await;
    db.endpoint("m1", Some(URL)).await;
    let first = event("m1", "10001");
    let mut again = first.clone();
    again.event_id = events::EventId(uuid::Uuid::now_v7());
    assert_eq!(db.notify(std::slice::from_ref(&first)).await, [true]);
    // The same message redelivered, and the same fact under another id; in one batch with something new.
    assert_eq!(db.notify(&[first, event("m1", "10002"), again]).await, [false, true, false]);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM ours.notifications").await, 2);
    let outcomes: Vec<String> =
        db.value("SELECT array_agg(outcome ORDER BY outcome) FROM notify.handled").await;
    assert_eq!(outcomes, ["applied", "applied", "duplicate"]);
}

#[tokio::test]
async fn an_event_of_a_day_without_a_partition_is_guarded_all_the_same() {
    let db = TestDatabase::with_twins().await;
    db.endpoint("m1", Some(URL)).await;
    let mut old = event("m1", "10001");
    old.occurred_at -= time::Duration::days(400);
    assert_eq!(db.notify(std::slice::from_ref(&old)).await, [true]);
    assert_eq!(db.notify(&[old]).await, [false]);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM notify.handled").await, 0);
}

#[tokio::test]
async fn a_merchant_without_an_address_is_told_once_it_has_one() {
    let db = TestDatabase::with_twins().await;
    db.endpoint("m1", None).await;
    let mut own = event("m1", "10002");
    own.order.notify_url = Some(URL.to_owned());
    db.notify(&[event("m1", "10001"), own]).await;
    let claimed = claim(&db, &ROOM).await;
    assert_eq!(claimed.len(), 1);
    assert!(claimed[0].own_url && claimed[0].order_no.as_str() == "10002");
    assert_eq!(
        db.value::<String>("SELECT reason FROM ours.notifications WHERE status = 'PARKED'").await,
        "no_endpoint"
    );

    assert_eq!(settle(&db).await, 0);
    db.endpoint("m1", Some("https://merchant.example/new")).await;
    assert_eq!(settle(&db).await, 1);
    let claimed = claim(&db, &ROOM).await;
    assert_eq!((claimed.len(), claimed[0].url.as_str()), (1, "https://merchant.example/new"));
}

#[tokio::test]
async fn a_disabled_endpoint_is_not_called_and_resumes_when_enabled() {
    let db = TestDatabase::with_twins().await;
    db.endpoint("m1", Some(URL)).await;
    db.notify(&[event("m1", "10001")]).await;
    let client = db.database.client().await.unwrap();
    // An answer to an address that was replaced meanwhile says nothing of the new one.
    assert!(!endpoints::disable(&client, &merchant("m1"), "https://merchant.example/old").await.unwrap());
    assert!(endpoints::disable(&client, &merchant("m1"), URL).await.unwrap());
    assert!(claim(&db, &ROOM).await.is_empty());
    settle(&db).await;
    db.notify(&[event("m1", "10002")]).await;
    let reasons: Vec<String> = db.value("SELECT array_agg(reason) FROM ours.notifications").await;
    assert_eq!(reasons, ["endpoint_disabled", "endpoint_disabled"]);

    let enable = EndpointChange { enabled: Some(true), ..EndpointChange::default() };
    endpoints::put(&client, &merchant("m1"), &enable, b"").await.unwrap();
    assert_eq!(settle(&db).await, 2);
    assert_eq!(claim(&db, &ROOM).await.len(), 2);
}

#[tokio::test]
async fn endpoints_are_settled_in_batches_that_wait_for_nobody() {
    let db = TestDatabase::create().await;
    db.endpoint("m1", Some(URL)).await;
    db.execute(
        "INSERT INTO notify.notifications (notification_id, event_id, merchant_id, order_no, pay_order_no, event_type, seq,
            version, occurred_at, status, body)
        SELECT gen_random_uuid(), gen_random_uuid(), 'm1', n::text, n::text, 'pay.success', 0, 2, now(), 'PENDING', ''
        FROM generate_series(1, 10002) n",
    )
    .await;
    let mut other = db.database.client().await.unwrap();
    for (enabled, resumed, parked) in [(false, 0, 10_001), (true, 10_001, 1)] {
        db.execute(&format!("UPDATE notify.endpoints SET enabled = {enabled}")).await;
        let tx = other.transaction().await.unwrap();
        tx.execute("SELECT FROM notify.notifications WHERE order_no = '7' FOR UPDATE", &[]).await.unwrap();
        assert_eq!(settle(&db).await, resumed);
        let count = "SELECT count(*) FROM notify.notifications WHERE status = 'PARKED'";
        assert_eq!(db.value::<i64>(count).await, parked);
        tx.commit().await.unwrap();
        assert_eq!(settle(&db).await, u64::from(enabled));
    }
}

#[tokio::test]
async fn a_lease_keeps_others_away_until_it_is_released_or_over() {
    let db = TestDatabase::with_twins().await;
    db.endpoint("m1", Some(URL)).await;
    db.notify(&[event("m1", "10001")]).await;
    let first = claim(&db, &ROOM).await;
    assert_eq!((first.len(), first[0].attempt, first[0].order_no.as_str()), (1, 1, "10001"));
    assert!(claim(&db, &ROOM).await.is_empty());
    leases::release(&db.database.client().await.unwrap(), &first).await.unwrap();
    assert_eq!(claim(&db, &ROOM).await.len(), 1);
    expire_leases(&db).await;
    assert_eq!(claim(&db, &ROOM).await.len(), 1);
}

#[tokio::test]
async fn a_frozen_worker_records_nothing() {
    let db = TestDatabase::with_twins().await;
    db.endpoint("m1", Some(URL)).await;
    db.notify(&[event("m1", "10001")]).await;
    let frozen = claim(&db, &ROOM).await.remove(0);
    expire_leases(&db).await;
    let other = claim(&db, &ROOM).await.remove(0);
    assert!(!record(&db, &frozen, Next::Park { reason: "attempts_exhausted" }).await);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM notify.attempts").await, 0);
    assert!(record(&db, &other, Next::Delivered).await);
    assert_eq!(db.value::<String>("SELECT status FROM ours.notifications").await, "DELIVERED");
    assert_eq!(db.value::<i64>("SELECT count(*) FROM notify.attempts").await, 1);
}

#[tokio::test]
async fn a_retry_waits_for_its_time_and_counts() {
    let db = TestDatabase::with_twins().await;
    db.endpoint("m1", Some(URL)).await;
    db.notify(&[event("m1", "10001")]).await;
    let first = claim(&db, &ROOM).await.remove(0);
    assert!(record(&db, &first, Next::Retry { after: Duration::from_secs(60) }).await);
    assert!(claim(&db, &ROOM).await.is_empty());
    db.execute("UPDATE ours.notifications SET next_attempt_at = now()").await;
    assert_eq!(claim(&db, &ROOM).await[0].attempt, 2);
}

#[tokio::test]
async fn an_attempt_is_recorded_even_when_no_partition_takes_its_log() {
    let db = TestDatabase::with_twins().await;
    db.endpoint("m1", Some(URL)).await;
    db.notify(&[event("m1", "10001")]).await;
    let claimed = claim(&db, &ROOM).await.remove(0);
    let mut attempt = attempt(Next::Delivered);
    attempt.started_at += time::Duration::days(400);
    let client = db.database.client().await.unwrap();
    assert!(attempts::record(&client, &claimed, &attempt).await.unwrap().is_some());
    assert_eq!(db.value::<String>("SELECT status FROM ours.notifications").await, "DELIVERED");
}

#[tokio::test]
async fn a_version_waits_for_lower_ones_unless_they_are_parked() {
    let db = TestDatabase::with_twins().await;
    db.endpoint("m1", Some(URL)).await;
    let (first, second) = (event("m1", "10001"), event("m1", "10002"));
    db.notify(&[refund_of(&first), first.clone(), refund_of(&second), second.clone()]).await;
    let claimed = claim(&db, &ROOM).await;
    assert_eq!(claimed.len(), 2);
    // Leased is not done.
    assert!(claim(&db, &ROOM).await.is_empty());
    for (claimed, next) in claimed.iter().zip([Next::Delivered, Next::Park { reason: "attempts_exhausted" }])
    {
        record(&db, claimed, next).await;
    }
    let refunds = claim(&db, &ROOM).await;
    assert_eq!(refunds.len(), 2);
    assert!(
        refunds.iter().all(|refund| !claimed.iter().any(|one| one.notification_id == refund.notification_id))
    );
}

fn share(of: &str, share: u32) -> Share {
    Share { merchant_id: merchant(of), share, after: None }
}

#[tokio::test]
async fn merchants_take_turns_and_none_gets_more_than_its_share() {
    let db = TestDatabase::with_twins().await;
    let mut events = Vec::new();
    for (merchant, count) in [("busy", 20), ("failing", 20), ("calm", 1)] {
        db.endpoint(merchant, Some(URL)).await;
        events.extend((0..count).map(|order| event(merchant, &format!("{order}"))));
    }
    db.notify(&events).await;
    let room = Room { total: 4, share: 8, shares: vec![share("failing", 1)] };
    let mut merchants: Vec<String> =
        claim(&db, &room).await.iter().map(|claimed| claimed.merchant_id.to_string()).collect();
    merchants.sort();
    assert_eq!(merchants, ["busy", "busy", "calm", "failing"]);
    let room = Room { total: 100, share: 8, shares: vec![share("failing", 0)] };
    assert_eq!(claim(&db, &room).await.len(), 8);
}

#[tokio::test]
async fn claims_at_the_same_time_share_what_is_due() {
    let db = TestDatabase::with_twins().await;
    db.endpoint("m1", Some(URL)).await;
    let events: Vec<_> = (0..200).map(|order| event("m1", &format!("{order}"))).collect();
    db.notify(&events).await;
    let claims = (0..8).map(|_| claim(&db, &ROOM));
    let mut ids: Vec<_> =
        futures_util::future::join_all(claims).await.iter().flatten().map(|c| c.notification_id).collect();
    let claimed = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), claimed, "two claims hold the same notification");
    assert!(claimed >= 100, "{claimed}");
}

fn letter<'a>(event: &'a events::PayEvent, reason: &'a str) -> DeadLetter<'a> {
    DeadLetter {
        queue: "merchant.pay.success.queue",
        message_key: "key",
        event_id: Some(event.event_id.0),
        occurred_at: Some(event.occurred_at),
        event_type: Some(EventType::Success),
        merchant_id: Some("m1"),
        order_no: Some("10001"),
        upstream: true,
        reason,
        detail: "why",
        attempts: 3,
    }
}

#[tokio::test]
async fn the_same_dead_letter_is_written_once_and_counts_until_it_is_handled() {
    let db = TestDatabase::create().await;
    let client = db.database.client().await.unwrap();
    let event = event("m1", "10001");
    for reason in ["invalid", "unknown_merchant"] {
        parked::park(&client, &letter(&event, reason)).await.unwrap();
    }
    let found = listings::parked(&client, 10).await.unwrap();
    assert_eq!((found.len(), found[0].reason.as_str(), found[0].attempts), (1, "unknown_merchant", 3));

    let hour = time::Duration::HOUR;
    let window = Span { from: event.occurred_at - hour, to: event.occurred_at + hour };
    let audited = async || audit::report(&client, window).await.unwrap();
    assert_eq!(audited().await.count(Stage::Parked), 1);
    assert!(audited().await.buckets[0].upstream);
    db.endpoint("m1", Some(URL)).await;
    db.notify(&[event]).await;
    let report = audited().await;
    assert_eq!((report.count(Stage::Parked), report.count(Stage::Pending)), (0, 1));
}

#[tokio::test]
async fn audit_and_trace_tell_where_every_event_stands() {
    let db = TestDatabase::create().await;
    db.endpoint("m1", Some(URL)).await;
    let events: Vec<_> = (0..3).map(|_| event("m1", "10001")).collect();
    let mut again = events[0].clone();
    again.event_id = events::EventId(uuid::Uuid::now_v7());
    db.notify(&events).await;
    db.notify(&[again]).await;
    for (claimed, next) in
        claim(&db, &ROOM).await.iter().zip([Next::Delivered, Next::Park { reason: "attempts_exhausted" }])
    {
        record(&db, claimed, next).await;
    }
    let client = db.database.client().await.unwrap();
    let at = events[0].occurred_at;
    let day = time::Duration::DAY;
    let report = audit::report(&client, Span { from: at - day * 2, to: at + day }).await.unwrap();
    let counts =
        [Stage::Notified, Stage::Parked, Stage::Pending, Stage::Duplicate].map(|stage| report.count(stage));
    assert_eq!(counts, [1, 1, 1, 1]);
    let before = audit::report(&client, Span { from: at - day * 2, to: at }).await.unwrap();
    assert!(before.buckets.is_empty(), "the end of a window is exclusive");

    let steps = trace::trace(&client, "10001").await.unwrap();
    let count = |name: &str| steps.iter().filter(|step| step.step == name).count();
    assert_eq!(
        [
            "event_handled",
            "notification_created",
            "webhook_attempt",
            "notification_delivered",
            "notification_parked"
        ]
        .map(count),
        [4, 3, 2, 1, 1]
    );
    assert!(steps.is_sorted_by_key(|step| step.at));
    assert!(trace::trace(&client, "10002").await.unwrap().is_empty());
}

#[tokio::test]
async fn listings_filter() {
    let db = TestDatabase::create().await;
    db.endpoint("m1", Some(URL)).await;
    db.endpoint("m2", None).await;
    db.notify(&[event("m1", "10001"), event("m1", "10002"), event("m2", "10001")]).await;
    let client = db.database.client().await.unwrap();
    let count = async |filter: Filter| notifications::list(&client, &filter, 10).await.unwrap().len();
    let (all, now) = (Filter::default(), OffsetDateTime::now_utc());
    assert_eq!(count(all.clone()).await, 3);
    assert_eq!(count(Filter { merchant_id: Some(merchant("m1")), ..all.clone() }).await, 2);
    assert_eq!(count(Filter { status: Some("PARKED"), ..all.clone() }).await, 1);
    assert_eq!(count(Filter { reason: Some("no_endpoint"), ..all.clone() }).await, 1);
    assert_eq!(count(Filter { reason: Some("gone"), ..all.clone() }).await, 0);
    assert_eq!(count(Filter { order_no: OrderNo::parse("10001").ok(), ..all.clone() }).await, 2);
    for (hours, since, until) in [(-1, 3, 0), (1, 0, 3)] {
        let time = Some(now + time::Duration::hours(hours));
        assert_eq!(count(Filter { since: time, ..all.clone() }).await, since);
        assert_eq!(count(Filter { until: time, ..all.clone() }).await, until);
    }
    let newest = notifications::list(&client, &all, 1).await.unwrap();
    assert_eq!(newest.len(), 1);
    let one = Filter { notification_id: Some(newest[0].notification_id), ..all };
    assert_eq!(notifications::list(&client, &one, 10).await.unwrap(), newest);
}

#[tokio::test]
async fn pruning_forgets_bodies_and_dead_letters_but_never_an_event_key() {
    let db = TestDatabase::with_twins().await;
    db.endpoint("m1", Some(URL)).await;
    let (done, open) = (event("m1", "10001"), event("m1", "10002"));
    db.notify(&[done.clone(), open]).await;
    let client = db.database.client().await.unwrap();
    parked::park(&client, &letter(&done, "invalid")).await.unwrap();
    let claimed = claim(&db, &ROOM).await;
    record(&db, claimed.iter().find(|c| c.order_no.as_str() == "10001").unwrap(), Next::Delivered).await;

    retention::prune(&client, OffsetDateTime::now_utc() - time::Duration::days(1)).await.unwrap();
    let bodies = "SELECT count(*) FROM ours.notifications WHERE body IS NOT NULL";
    assert_eq!(db.value::<i64>(bodies).await, 2);
    retention::prune(&client, OffsetDateTime::now_utc() + time::Duration::days(1)).await.unwrap();
    assert_eq!(db.value::<i64>(bodies).await, 1);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM notify.parked").await, 0);
    assert_eq!(db.notify(&[done]).await, [false]);
}

#[tokio::test]
async fn a_running_service_bears_the_columns_of_the_next_migration() {
    let db = TestDatabase::with_twins().await;
    let client = db.database.client().await.unwrap();
    let statements = async || {
        endpoints::put(&client, &merchant("m1"), &EndpointChange::default(), b"sealed").await.unwrap();
        endpoints::list(&client, None).await.unwrap();
        listings::parked(&client, 10).await.unwrap();
        endpoints::settle(&client).await.unwrap();
        leases::claim(&client, &ROOM).await.unwrap();
    };
    statements().await;
    for table in ["endpoints", "notifications", "parked"] {
        db.execute(&format!("ALTER TABLE notify.{table} ADD later int")).await;
    }
    statements().await;
}
