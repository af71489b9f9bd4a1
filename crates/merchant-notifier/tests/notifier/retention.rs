//! What expires goes; what guards stays, and is enough.

use merchant_notifier::maintenance::maintain;
use merchant_notifier::store::attempts::Next;
use merchant_notifier::store::parked::{self, DeadLetter};
use merchant_notifier::store::retention;
use storage::partitions::Maintainer;
use time::{Duration, OffsetDateTime};

use crate::store::{ROOM, URL, claim, record};
use crate::support::{TestDatabase, event};

const RETENTION_DAYS: u16 = 7;

async fn count(db: &TestDatabase, what: &str) -> i64 {
    db.value(&format!("SELECT count(*) FROM notify.{what}")).await
}

/// All that the service does about retention, as of `now`.
async fn expire(db: &TestDatabase, now: OffsetDateTime) {
    let tables = retention::partitioned(RETENTION_DAYS);
    Maintainer::new(db.database.clone(), tables).maintain(now).await.unwrap();
    maintain(&db.database, Some(RETENTION_DAYS), now).await.unwrap();
}

#[tokio::test]
async fn what_expires_goes_and_a_repetition_of_it_tells_nobody() {
    let db = TestDatabase::create().await;
    db.endpoint("m1", Some(URL)).await;
    let told = [event("m1", "delivered"), event("m1", "given-up"), event("m1", "waiting")];
    db.notify(&told).await;
    for claimed in claim(&db, &ROOM).await {
        let next = match claimed.order_no.as_str() {
            "delivered" => Next::Delivered,
            "given-up" => Next::Park { reason: "attempts_exhausted" },
            _ => Next::Retry { after: std::time::Duration::from_secs(3600) },
        };
        assert!(record(&db, &claimed, next).await);
    }
    let client = db.database.client().await.unwrap();
    let letter = DeadLetter {
        queue: "merchant.pay.success.queue",
        message_key: "1",
        event_id: None,
        occurred_at: None,
        event_type: None,
        merchant_id: None,
        order_no: None,
        upstream: true,
        reason: "undecodable",
        detail: "",
        attempts: 1,
    };
    parked::park(&client, &letter).await.unwrap();
    expire(&db, OffsetDateTime::now_utc()).await;
    let kept = ["handled", "attempts", "parked", "notifications WHERE body IS NOT NULL"];
    for (table, rows) in kept.into_iter().zip([3, 3, 1, 3]) {
        assert_eq!(count(&db, table).await, rows, "{table}");
    }

    expire(&db, OffsetDateTime::now_utc() + Duration::days(60)).await;
    for table in ["handled", "attempts", "parked"] {
        assert_eq!(count(&db, table).await, 0, "{table}");
    }
    assert_eq!(count(&db, "endpoints").await, 1);
    // What the merchant has not been told yet can still be sent.
    let bodies: Vec<String> = db
        .value(
            "SELECT array_agg(order_no ORDER BY order_no) FROM notify.notifications WHERE body IS NOT NULL",
        )
        .await;
    assert_eq!(bodies, ["given-up", "waiting"]);

    assert_eq!(db.notify(&told).await, [false; 3]);
    assert_eq!((count(&db, "notifications").await, count(&db, "handled").await), (3, 0));
    assert!(claim(&db, &ROOM).await.is_empty());
}

#[tokio::test]
async fn bodies_and_dead_letters_expire_in_batches() {
    let db = TestDatabase::create().await;
    db.execute(
        "INSERT INTO notify.notifications (notification_id, event_id, merchant_id, order_no, pay_order_no, event_type,
            seq, version, occurred_at, status, body, finished_at)
        SELECT gen_random_uuid(), gen_random_uuid(), 'm1', n::text, n::text, 'pay.success', 0, 2, now(), 'DELIVERED',
            'told', now()
        FROM generate_series(1, 2500) n",
    )
    .await;
    db.execute(
        "INSERT INTO notify.parked (queue, message_key, upstream, reason, detail, attempts)
        SELECT 'q', n::text, true, 'undecodable', '', 1 FROM generate_series(1, 2500) n",
    )
    .await;
    expire(&db, OffsetDateTime::now_utc() + Duration::days(8)).await;
    assert_eq!(count(&db, "notifications").await, 2500);
    assert_eq!(count(&db, "notifications WHERE body IS NOT NULL").await, 0);
    assert_eq!(count(&db, "parked").await, 0);
}
