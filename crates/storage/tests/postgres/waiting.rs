use std::cell::Cell;
use std::time::Duration;

use devstack::testing::free_port;
use storage::{Database, Error, until_available};
use tokio::time::timeout;

use crate::Fixture;

/// A wait would go on for ever.
const LIMIT: Duration = devstack::testing::DEADLINE;

#[tokio::test]
async fn a_start_waits_for_a_server_that_is_away() {
    let fixture = Fixture::new();
    let away = format!("postgres://pay@127.0.0.1:{}/pay", free_port());
    let away = Database::connect(&away, "storage-test", 1).unwrap();
    let tries = Cell::new(0);
    let attempt = || async {
        tries.set(tries.get() + 1);
        if tries.get() < 3 { away.ping().await } else { fixture.database.ping().await }
    };
    until_available(attempt).await.unwrap();
    assert_eq!(tries.get(), 3);
}

#[tokio::test]
async fn a_start_does_not_wait_for_what_time_does_not_mend() {
    let fixture = Fixture::new();
    let url = fixture.server.url();
    let name = url.rsplit('/').next().unwrap();
    let elsewhere = Database::connect(&url.replace(name, "no_such_database"), "storage-test", 1).unwrap();
    let error = timeout(LIMIT, until_available(|| elsewhere.ping())).await.expect("at once").unwrap_err();
    assert!(error.is_misconfigured() && error.is_outage(), "{error}");

    let refused = async || {
        let client = fixture.database.client().await?;
        Ok::<_, Error>(client.batch_execute("SELECT * FROM no_such_table").await?)
    };
    let error = timeout(LIMIT, until_available(refused)).await.expect("at once").unwrap_err();
    assert!(error.is_misconfigured(), "{error}");
}
