use storage::Database;
use storage::partitions::Maintainer;

use super::*;
use crate::store::{migrate, partitioned};

/// Events of three days, one in three seconds, with the callbacks that made them. Every hundredth is in the outbox.
const FILL: &str = "
    INSERT INTO pay.events (occurred_at, event_id, pay_order_no, version, type, traceparent, payload)
    SELECT now() - n * interval '3 s', gen_random_uuid(), 'P' || n, 2, 'pay.success', 'trace-' || n, ''
    FROM generate_series(1, 86400) n;
    INSERT INTO pay.callbacks (received_at, callback_id, account, dedupe_id, pay_order_no, outcome, traceparent, headers, body)
    SELECT occurred_at, event_id, 'gateway', '', pay_order_no, 'applied', traceparent, '{}', '' FROM pay.events;
    INSERT INTO pay.outbox_pending (slot, occurred_at, event_id)
    SELECT 0, occurred_at, event_id FROM pay.events WHERE substr(pay_order_no, 2)::int % 100 = 0;
    ANALYZE pay.events, pay.callbacks, pay.outbox_pending, pay.pay_orders";

async fn filled() -> (devstack::testing::Database, Database) {
    let fresh = devstack::testing::Database::create();
    let database = Database::connect(fresh.url(), "audit tests", 2).unwrap();
    migrate(&database).await.unwrap();
    let maintainer = Maintainer::new(database.clone(), partitioned(7));
    for days_ago in 0..4 {
        maintainer.maintain(OffsetDateTime::now_utc() - Duration::days(days_ago)).await.unwrap();
    }
    database.client().await.unwrap().batch_execute(FILL).await.unwrap();
    (fresh, database)
}

#[tokio::test]
async fn an_audit_reads_its_window_and_not_the_tables() {
    let (_fresh, database) = filled().await;
    let to = OffsetDateTime::now_utc() - Duration::hours(20);
    let span = Span { from: to - Duration::hours(1), to };
    let mut client = database.client().await.unwrap();
    let tx = client.transaction().await.unwrap();
    // The outbox is a queue, and as short as one.
    let read = "SELECT coalesce(sum(seq_tup_read), 0)::bigint FROM pg_stat_xact_user_tables
                WHERE schemaname = 'pay' AND relname <> 'outbox_pending'";
    let read = async || tx.query_one(read, &[]).await.unwrap().get::<_, i64>(0);
    // What the session did before the transaction counts as well, for as long as it is not handed on.
    let before = read().await;
    let report = report(&tx, span).await.unwrap();
    assert_eq!((report.count(Stage::Committed), report.count(Stage::Published)), (12, 1188));
    assert_eq!(report.eventless, []);
    let from = span.from;
    let wanted = EventsQuery { from, to, event_type: EventType::Success, after: None, stage: None };
    let page = events(&tx, &wanted).await.unwrap();
    let pending = page.events.iter().filter(|event| event.stage == Stage::Committed).count();
    assert_eq!((page.events.len(), page.more, pending), (1200, false, 12));
    let last = &page.events[599];
    let wanted = EventsQuery { from: last.occurred_at, after: Some(last.event_id.0), ..wanted };
    assert_eq!(events(&tx, &wanted).await.unwrap().events, page.events[600..]);
    assert_eq!(read().await, before, "rows read without an index");
}

#[tokio::test]
async fn the_digest_in_sql_is_the_one_in_rust_and_a_callback_without_its_event_is_told() {
    let (_fresh, database) = filled().await;
    let client = database.client().await.unwrap();
    let to = OffsetDateTime::now_utc() - Duration::hours(20);
    let span = Span { from: to - Duration::minutes(7), to };
    let ids = client
        .query(
            "SELECT event_id FROM pay.events WHERE occurred_at >= $1 AND occurred_at < $2",
            &[&span.from, &to],
        )
        .await
        .unwrap();
    let ids = ids.iter().map(|row| EventId(row.get(0)));
    let report_before = report(&client, span).await.unwrap();
    let digests = report_before.buckets.iter().map(|bucket| bucket.digest);
    assert_eq!(digests.fold(IdSetDigest::default(), IdSetDigest::union), ids.collect());

    let gone = client
        .query_one(
            "DELETE FROM pay.events WHERE (occurred_at, event_id) = (
                SELECT occurred_at, event_id FROM pay.events WHERE occurred_at >= $1 ORDER BY 1 LIMIT 1)
             RETURNING pay_order_no, occurred_at",
            &[&span.from],
        )
        .await
        .unwrap();
    let report = report(&client, span).await.unwrap();
    let eventless: Vec<_> =
        report.eventless.iter().map(|one| (one.pay_order_no.as_str(), one.received_at)).collect();
    assert_eq!(eventless, [(gone.get("pay_order_no"), gone.get("occurred_at"))]);
}
