//! What an audit reads, and how it sums up.

use admin_api::audit::{EventsQuery, Span, Stage};
use admin_api::digest::IdSetDigest;
use devstack::testing;
use events::{EventId, EventType};
use order_service::store::{self, audit};
use storage::{Database, partitions::Maintainer};
use time::{Duration, OffsetDateTime};

/// Three days, an event in three seconds. Every hundredth is parked instead, twice, and every second one of these was
/// handled after all.
const FILL: &str = "
    CREATE TEMPORARY TABLE happened AS
    SELECT n, now() - n * interval '3 s' AS occurred_at, gen_random_uuid() AS event_id FROM generate_series(1, 86400) n;
    INSERT INTO orders.handled (occurred_at, event_id, type, outcome, merchant_id, order_no, pay_order_no, upstream)
    SELECT occurred_at, event_id, 'pay.success', 'applied', 'm1', 'O-' || n, 'P' || n, false FROM happened
    WHERE n % 200 <> 0;
    INSERT INTO orders.parked (queue, message_id, reason, detail, attempts, first_seen, upstream, type, merchant_id, order_no,
        pay_order_no, event_id, occurred_at)
    SELECT 'trade.pay.success.queue', n, reason, '', 4, occurred_at, false, 'pay.success', 'm1', 'O-' || n, 'P' || n,
        event_id, occurred_at
    FROM happened, (VALUES ('invalid'), ('attempts_exhausted')) reasons (reason) WHERE n % 100 = 0;
    ANALYZE orders.handled, orders.parked";

#[tokio::test]
async fn an_audit_reads_its_window_and_not_the_tables() {
    let server = testing::Database::create();
    let database = Database::connect(server.url(), "test", 2).unwrap();
    store::migrate(&database).await.unwrap();
    let maintainer = Maintainer::new(database.clone(), vec![store::handled_table(7)]);
    let now = OffsetDateTime::now_utc();
    for days_ago in 0..4 {
        maintainer.maintain(now - Duration::days(days_ago)).await.unwrap();
    }
    let mut client = database.client().await.unwrap();
    client.batch_execute(FILL).await.unwrap();
    let to = now - Duration::hours(20);
    let from = to - Duration::hours(1);
    let known = client
        .query("SELECT event_id FROM happened WHERE occurred_at >= $1 AND occurred_at < $2", &[&from, &to])
        .await
        .unwrap();
    let known: IdSetDigest = known.iter().map(|row| EventId(row.get(0))).collect();

    let tx = client.transaction().await.unwrap();
    let read = "SELECT coalesce(sum(seq_tup_read), 0)::bigint FROM pg_stat_xact_user_tables WHERE schemaname = 'orders'";
    let read = async || tx.query_one(read, &[]).await.unwrap().get::<_, i64>(0);
    // What the session did before the transaction counts as well, for as long as it is not handed on.
    let before = read().await;
    let report = audit::report(&tx, Span { from, to }).await.unwrap();
    assert_eq!((report.count(Stage::Applied), report.count(Stage::Parked)), (1194, 6));
    let digests = report.buckets.iter().map(|bucket| bucket.digest);
    assert_eq!(digests.fold(IdSetDigest::default(), IdSetDigest::union), known, "in SQL as in Rust");

    let wanted = EventsQuery { from, to, event_type: EventType::Success, after: None, stage: None };
    let all = audit::events(&tx, &wanted).await.unwrap().events;
    assert_eq!(all.len(), 1200);
    let rest = EventsQuery { from: all[599].occurred_at, after: Some(all[599].event_id.0), ..wanted };
    assert_eq!(audit::events(&tx, &rest).await.unwrap().events, all[600..]);
    let parked = EventsQuery { stage: Some(Stage::Parked), ..wanted };
    let parked = audit::events(&tx, &parked).await.unwrap().events;
    assert_eq!(parked.len(), 6);
    assert!(
        parked
            .iter()
            .all(|entry| entry.queue.is_some() && entry.reason.is_some() && entry.pay_order_no.is_some())
    );
    assert_eq!(read().await, before, "rows read without an index");
}
