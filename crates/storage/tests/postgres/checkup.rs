use storage::partitions::{Maintainer, Partitioned};
use time::OffsetDateTime;

use crate::Fixture;

const EVENTS: Partitioned = Partitioned { schema: "pay", table: "events", retention_days: 2, keep_if: None };

#[tokio::test]
async fn a_checkup_tells_of_the_server_and_of_missing_partitions() {
    let fixture = Fixture::new();
    fixture
        .execute(
            "CREATE SCHEMA pay;
             CREATE TABLE pay.events (event_id int, day date NOT NULL) PARTITION BY RANGE (day)",
        )
        .await;
    let nothing_yet = fixture.database.checkup(&[EVENTS]).await.unwrap();
    assert_eq!(nothing_yet.missing_partitions.len(), 2, "{nothing_yet:?}");
    let maintainer = Maintainer::new(fixture.database.clone(), vec![EVENTS]);
    maintainer.maintain(OffsetDateTime::now_utc()).await.unwrap();

    let sound = fixture.database.checkup(&[EVENTS]).await.unwrap();
    assert_eq!(sound.missing_partitions, [""; 0]);
    assert_eq!(sound.server_started_at, nothing_yet.server_started_at);
    assert_eq!(sound.pool, 8);
    assert!(sound.version >= 150_000 && sound.max_connections > 8, "{sound:?}");
    assert!(sound.ahead_ms.abs() < 5_000, "server and test share a clock: {sound:?}");
    assert_eq!(sound.synchronous_commit, "on");

    // Dropping them all is safe from midnight.
    let mut dropped = Vec::new();
    for partition in [&nothing_yet.missing_partitions, &sound.missing_partitions].into_iter().flatten() {
        fixture.execute(&format!("DROP TABLE IF EXISTS {partition}")).await;
        dropped.push(partition.clone());
    }
    let spoiled = fixture.database.checkup(&[EVENTS]).await.unwrap();
    assert!(spoiled.missing_partitions.iter().any(|missing| dropped.contains(missing)), "{spoiled:?}");
}

#[tokio::test]
async fn a_commit_that_waits_for_no_disk_is_told() {
    let fixture = Fixture::new();
    fixture.execute(&format!("ALTER DATABASE {} SET synchronous_commit = off", fixture.server.name())).await;
    let again = storage::Database::connect(fixture.server.url(), "storage-test", 1).unwrap();
    assert_eq!(again.checkup(&[]).await.unwrap().synchronous_commit, "off");
}
