//! What an audit reads, and how it sums up.

use admin_api::audit::{EventsQuery, Span, Stage};
use admin_api::digest::IdSetDigest;
use events::{EventId, EventType};
use merchant_notifier::store::{audit, retention};
use storage::partitions::Maintainer;
use time::{Duration, OffsetDateTime};

use crate::support::TestDatabase;

/// Three days, an event in three seconds. Every hundredth waits for its webhook, every thousandth is dead-lettered instead.
const FILL: &str = "
    CREATE TEMPORARY TABLE happened AS
    SELECT n, now() - n * interval '3 s' AS occurred_at, gen_random_uuid() AS event_id FROM generate_series(1, 86400) n;
    INSERT INTO notify.handled (occurred_at, event_id, event_type, merchant_id, order_no, outcome, upstream, notification_id)
    SELECT occurred_at, event_id, 'pay.success', 'm1', 'O-' || n, 'applied', false, event_id FROM happened WHERE n % 1000 <> 0;
    INSERT INTO notify.notifications (notification_id, event_id, merchant_id, order_no, pay_order_no, event_type, seq, version,
        occurred_at, body, status)
    SELECT event_id, event_id, 'm1', 'O-' || n, 'P' || n, 'pay.success', 0, 2, occurred_at, '',
        CASE WHEN n % 100 = 0 THEN 'PENDING' ELSE 'DELIVERED' END
    FROM happened WHERE n % 1000 <> 0;
    INSERT INTO notify.parked (queue, message_key, event_id, occurred_at, event_type, merchant_id, order_no, upstream, reason,
        detail, attempts)
    SELECT 'merchant.pay.success.queue', n, event_id, occurred_at, 'pay.success', 'm1', 'O-' || n, false, 'unknown_merchant', '', 1
    FROM happened WHERE n % 1000 = 0;
    ANALYZE notify.handled, notify.notifications, notify.parked";

#[tokio::test]
async fn an_audit_reads_its_window_and_not_the_tables() {
    let db = TestDatabase::create().await;
    let maintainer = Maintainer::new(db.database.clone(), retention::partitioned(7));
    let now = OffsetDateTime::now_utc();
    for days_ago in 0..4 {
        maintainer.maintain(now - Duration::days(days_ago)).await.unwrap();
    }
    let mut client = db.database.client().await.unwrap();
    client.batch_execute(FILL).await.unwrap();
    let to = now - Duration::hours(20);
    let from = to - Duration::hours(1);
    let known = client
        .query("SELECT event_id, n FROM happened WHERE occurred_at >= $1 AND occurred_at < $2", &[&from, &to])
        .await
        .unwrap();
    let letters = known.iter().filter(|row| row.get::<_, i32>(1) % 1000 == 0).count() as u64;
    let known: IdSetDigest = known.iter().map(|row| EventId(row.get(0))).collect();

    let tx = client.transaction().await.unwrap();
    let read = "SELECT coalesce(sum(seq_tup_read), 0)::bigint FROM pg_stat_xact_user_tables WHERE schemaname = 'notify'";
    let read = async || tx.query_one(read, &[]).await.unwrap().get::<_, i64>(0);
    // What the session did before the transaction counts as well, for as long as it is not handed on.
    let before = read().await;
    let report = audit::report(&tx, Span { from, to }).await.unwrap();
    let counts = [Stage::Notified, Stage::Pending, Stage::Parked].map(|stage| report.count(stage));
    assert_eq!(counts, [1188, 12 - letters, letters]);
    let digests = report.buckets.iter().map(|bucket| bucket.digest);
    assert_eq!(digests.fold(IdSetDigest::default(), IdSetDigest::union), known, "in SQL as in Rust");

    let wanted = EventsQuery { from, to, event_type: EventType::Success, after: None, stage: None };
    let all = audit::events(&tx, &wanted).await.unwrap().events;
    assert_eq!(all.len(), 1200);
    let rest = EventsQuery { from: all[599].occurred_at, after: Some(all[599].event_id.0), ..wanted };
    assert_eq!(audit::events(&tx, &rest).await.unwrap().events, all[600..]);
    let pending = EventsQuery { stage: Some(Stage::Pending), ..wanted };
    let pending = audit::events(&tx, &pending).await.unwrap().events;
    assert_eq!(pending.len() as u64, 12 - letters);
    assert!(pending.iter().all(|entry| entry.next_attempt_at.is_some() && entry.pay_order_no.is_some()));
    assert_eq!(read().await, before, "rows read without an index");
}
