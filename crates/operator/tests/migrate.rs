//! `payrelay migrate` while another session holds its lock.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

#[tokio::test]
async fn it_says_whose_lock_it_waits_for() {
    let server = devstack::testing::Database::create();
    let holder = storage::Database::connect(server.url(), "who holds it", 1).expect("a valid URL");
    let holding = holder.client().await.expect("a connection");
    let lock = "SELECT pg_advisory_lock(hashtextextended('payrelay.migrate.pay', 0))";
    holding.batch_execute(lock).await.expect("it is free");

    let mut payrelay = Command::new(env!("CARGO_BIN_EXE_payrelay"));
    payrelay.arg("migrate").env("PAYRELAY_DATABASE_URL", server.url()).env_remove("PAYRELAY_LOG");
    let mut child = payrelay.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let told = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    // Ends with the process, if it does not tell.
    let told = told.into_iter().find(|line| line.contains("waiting for a lock")).expect("it tells");
    assert!(told.contains("who holds it") && told.contains("schema pay"), "{told}");
    holding.batch_execute("SELECT pg_advisory_unlock_all()").await.expect("it was held");
    assert!(child.wait().expect("a status").success());
}
