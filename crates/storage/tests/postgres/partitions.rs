use std::time::Duration;

use storage::partitions::{Maintainer, MaintenanceReport, Partitioned};
use time::OffsetDateTime;
use time::macros::datetime;
use tokio_util::sync::CancellationToken;

use crate::Fixture;

const NOW: OffsetDateTime = datetime!(2026-01-31 23:59:59 UTC);
const MIDNIGHT: OffsetDateTime = datetime!(2026-02-01 00:00:00 UTC);

const EVENTS: Partitioned = Partitioned {
    schema: "pay",
    table: "events",
    retention_days: 2,
    keep_if: Some("EXISTS (SELECT FROM pay.outbox_pending o WHERE o.event_id = p.event_id)"),
};
const HANDLED: Partitioned =
    Partitioned { schema: "orders", table: "handled", retention_days: 1, keep_if: None };

async fn fixture() -> (Fixture, Maintainer) {
    let fixture = Fixture::new();
    fixture
        .execute(
            "CREATE SCHEMA pay;
             CREATE TABLE pay.events (event_id int, day date NOT NULL) PARTITION BY RANGE (day);
             CREATE TABLE pay.outbox_pending (event_id int);
             CREATE SCHEMA orders;
             CREATE TABLE orders.handled (at timestamptz NOT NULL) PARTITION BY RANGE (at)",
        )
        .await;
    let maintainer = Maintainer::new(fixture.database.clone(), vec![EVENTS, HANDLED]);
    (fixture, maintainer)
}

#[tokio::test]
async fn midnight_needs_no_luck() {
    let (fixture, maintainer) = fixture().await;
    let report = maintainer.maintain(NOW).await.unwrap();
    assert_eq!(report.created.len(), 6 + 5);
    assert_eq!(report.created[0], "pay.events_p20260129");
    assert_eq!(maintainer.maintain(NOW).await.unwrap(), MaintenanceReport::default());

    fixture.execute("INSERT INTO pay.events VALUES (1, '2026-01-29'), (2, '2026-02-03')").await;
    fixture
        .execute(
            "INSERT INTO orders.handled VALUES ('2026-01-31 23:59:59.999999Z'), ('2026-02-01 00:00:00Z')",
        )
        .await;
    for day in ["20260131", "20260201"] {
        assert_eq!(fixture.count(&format!("SELECT count(*) FROM orders.handled_p{day}")).await, 1, "{day}");
    }

    let report = maintainer.maintain(MIDNIGHT).await.unwrap();
    assert_eq!(report.created, ["pay.events_p20260204", "orders.handled_p20260204"]);
    assert_eq!(report.dropped, ["pay.events_p20260129", "orders.handled_p20260130"]);
    assert_eq!(fixture.count("SELECT count(*) FROM pay.events").await, 1);
}

/// Hours of the days that must have a partition, each in one only.
const EVERY_HOUR: &str = "INSERT INTO orders.handled SELECT generate_series(
    timestamptz '2026-01-30 00:30:00+00', timestamptz '2026-02-03 23:30:00+00', interval '1 hour')";

#[tokio::test]
async fn bounds_are_midnights_of_utc_in_every_zone() {
    let (fixture, maintainer) = fixture().await;
    let client = fixture.database.client().await.unwrap();
    client.batch_execute("SET timezone = 'Asia/Shanghai'").await.unwrap();
    drop(client);
    maintainer.maintain(NOW).await.unwrap();
    fixture.execute("SET timezone = 'UTC'").await;
    let bounds = "SELECT count(*) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
        WHERE replace(pg_get_expr(c.relpartbound, c.oid), ' 00:00:00+00', '') !~ ':'";
    assert_eq!(fixture.count(bounds).await, 6 + 5);
    fixture.execute(EVERY_HOUR).await;
    assert_eq!(maintainer.maintain(NOW).await.unwrap(), MaintenanceReport::default());
}

#[tokio::test]
async fn partitions_of_another_zone_are_continued_without_a_gap() {
    for zone in ["Asia/Shanghai", "America/Los_Angeles", "Asia/Kolkata"] {
        let (fixture, maintainer) = fixture().await;
        // As an earlier release has made them.
        let days = [("28", "01-29"), ("29", "01-30"), ("30", "01-31"), ("31", "02-01")].map(|(day, next)| {
            format!(
                "CREATE TABLE orders.handled_p202601{day} PARTITION OF orders.handled
                 FOR VALUES FROM ('2026-01-{day}') TO ('2026-{next}');"
            )
        });
        let days = days.concat();
        fixture.execute(&format!("SET timezone = '{zone}'; {days} SET timezone = 'UTC'")).await;
        maintainer.maintain(NOW).await.unwrap();
        fixture.execute(EVERY_HOUR).await;
        assert_eq!(maintainer.maintain(NOW).await.unwrap(), MaintenanceReport::default(), "{zone}");

        let left = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'orders.handled'::regclass";
        let later = NOW + time::Duration::days(40);
        maintainer.maintain(later).await.unwrap();
        assert_eq!(fixture.count(left).await, 5, "{zone}: all of them expire");
    }
}

#[tokio::test]
async fn years_of_retention_are_made_piece_by_piece() {
    let (fixture, _) = fixture().await;
    let years = Partitioned { retention_days: 996, ..HANDLED };
    let maintainer = Maintainer::new(fixture.database.clone(), vec![years]);
    let report = maintainer.maintain(NOW).await.unwrap();
    assert_eq!(report.created.len(), 1000);
    assert_eq!(report.created[99], "orders.handled_p20260203", "the newest come first");
    let most = "SELECT max(count) FROM (
        SELECT count(*) FROM pg_class WHERE relname LIKE 'handled_p%' GROUP BY xmin::text) AS transactions";
    assert_eq!(fixture.count(most).await, 100);
    assert_eq!(maintainer.maintain(NOW).await.unwrap(), MaintenanceReport::default());
}

#[tokio::test]
async fn an_expired_partition_stays_while_a_row_must() {
    let (fixture, maintainer) = fixture().await;
    maintainer.maintain(NOW).await.unwrap();
    fixture
        .execute("INSERT INTO pay.events VALUES (1, '2026-01-29'); INSERT INTO pay.outbox_pending VALUES (1)")
        .await;
    let report = maintainer.maintain(MIDNIGHT).await.unwrap();
    assert_eq!(report.kept, ["pay.events_p20260129"]);
    assert_eq!(fixture.count("SELECT count(*) FROM pay.events").await, 1);

    fixture.execute("DELETE FROM pay.outbox_pending").await;
    let report = maintainer.maintain(MIDNIGHT).await.unwrap();
    assert_eq!(report.dropped, ["pay.events_p20260129"]);
}

#[tokio::test]
async fn a_pause_of_forty_days_is_caught_up_in_one_pass() {
    let (fixture, maintainer) = fixture().await;
    maintainer.maintain(NOW).await.unwrap();
    fixture
        .execute("INSERT INTO pay.events VALUES (1, '2026-01-30'); INSERT INTO pay.outbox_pending VALUES (1)")
        .await;
    let insert =
        "INSERT INTO pay.events VALUES (2, '2026-03-12'); INSERT INTO orders.handled VALUES ('2026-03-12Z')";
    let client = fixture.database.client().await.unwrap();
    let refused = client.batch_execute(insert).await.unwrap_err();
    assert!(refused.as_db_error().unwrap().message().contains("no partition"), "{refused:?}");

    let report = maintainer.maintain(NOW + time::Duration::days(40)).await.unwrap();
    assert_eq!(report.created.len(), 6 + 5);
    assert_eq!((&*report.created[0], &*report.created[5]), ("pay.events_p20260310", "pay.events_p20260315"));
    assert_eq!(report.dropped.len(), 5 + 5, "all but the one with a pending event");
    assert_eq!(report.kept, ["pay.events_p20260130"]);
    client.batch_execute(insert).await.unwrap();
    assert_eq!(fixture.count("SELECT count(*) FROM pay.events").await, 2);
}

#[tokio::test]
async fn a_running_maintainer_drops_what_expires_while_it_runs() {
    let (fixture, maintainer) = fixture().await;
    let count = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'orders.handled'::regclass";
    let cancel = CancellationToken::new();
    let until = cancel.clone();
    let running = tokio::spawn(async move { maintainer.run(&until).await });
    crate::eventually("a first pass", async || fixture.count(count).await == 5).await;

    let expired = "CREATE TABLE orders.handled_p20250101 PARTITION OF orders.handled FOR VALUES FROM ('2025-01-01') TO ('2025-01-02')";
    fixture.execute(expired).await;
    for _hour in 0..100 {
        if fixture.count(count).await == 5 {
            break;
        }
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(60 * 60)).await;
        tokio::time::resume();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(fixture.count(count).await, 5, "the expired partition is gone");
    cancel.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_locked_table_is_postponed_and_does_not_stop_the_others() {
    let (fixture, maintainer) = fixture().await;
    let mut client = fixture.database.client().await.unwrap();
    let blocker = client.transaction().await.unwrap();
    blocker.batch_execute("LOCK TABLE pay.events IN ACCESS SHARE MODE").await.unwrap();
    let report = maintainer.maintain(NOW).await.unwrap();
    assert_eq!(report.postponed, ["pay.events"]);
    assert_eq!(report.created.len(), 5);
    blocker.rollback().await.unwrap();
    assert_eq!(maintainer.maintain(NOW).await.unwrap().created.len(), 6);
}

#[tokio::test]
async fn replicas_may_maintain_at_once() {
    let (_fixture, maintainer) = fixture().await;
    for now in [NOW, MIDNIGHT] {
        let passes: Vec<_> = (0..4)
            .map(|_| {
                let maintainer = maintainer.clone();
                tokio::spawn(async move { maintainer.maintain(now).await })
            })
            .collect();
        let mut created = 0;
        for pass in passes {
            created += pass.await.unwrap().unwrap().created.len();
        }
        assert_eq!(created, if now == NOW { 11 } else { 2 });
    }
}
