//! The crate against a real PostgreSQL.

mod checkup;
mod failures;
mod leadership;
mod migrations;
mod partitions;
mod poolers;
mod sessions;
mod tls;
mod transactions;
mod waiting;

use std::time::Duration;

use devstack::testing::DEADLINE;
use storage::Database;
use tokio::time::{Instant, sleep};

/// A fresh database and a pool for it. The pool must be dropped first, so it comes first.
struct Fixture {
    database: Database,
    server: devstack::testing::Database,
}

impl Fixture {
    fn new() -> Self {
        let server = devstack::testing::Database::create();
        let database = Database::connect(server.url(), "storage-test", 8).expect("a valid URL");
        Self { database, server }
    }

    async fn execute(&self, sql: &str) {
        let client = self.database.client().await.expect("a connection");
        client.batch_execute(sql).await.expect("valid SQL");
    }

    /// The one value of a query.
    async fn count(&self, sql: &str) -> i64 {
        let client = self.database.client().await.expect("a connection");
        client.query_one(sql, &[]).await.expect("valid SQL").get(0)
    }
}

/// Polls until `condition` holds; fails after [`DEADLINE`].
async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
