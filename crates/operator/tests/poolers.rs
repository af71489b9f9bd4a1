//! `payrelay migrate` and `payrelay dev` behind a pooler in transaction mode.

use std::process::Command;
use std::time::{Duration, Instant};
use std::{io::Read as _, process::Stdio, thread};

use devstack::testing::{Database, free_port, pgbouncer::Pgbouncer};

/// A wait would go on for ever.
const LIMIT: Duration = devstack::testing::DEADLINE;

#[test]
fn nothing_starts_behind_a_pooler_in_transaction_mode() {
    let settings = "pool_mode = transaction\nignore_startup_parameters = options,extra_float_digits";
    let Some(pooler) = Pgbouncer::start(settings) else { return };
    let database = Database::create();
    let (url, broker) = (pooler.url(&database), format!("amqp://127.0.0.1:{}", free_port()));
    for arguments in [vec!["migrate"], vec!["dev", "--database-url", &url, "--amqp-url", &broker]] {
        let mut payrelay = Command::new(env!("CARGO_BIN_EXE_payrelay"));
        payrelay
            .args(&arguments)
            .env("PAYRELAY_DATABASE_URL", &url)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = payrelay.spawn().expect("it starts");
        let deadline = Instant::now() + LIMIT;
        while child.try_wait().expect("a status").is_none() {
            if Instant::now() > deadline {
                child.kill().expect("it is there");
            }
            thread::sleep(Duration::from_millis(20));
        }
        let mut told = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut told).expect("UTF-8");
        assert_eq!(child.wait().expect("a status").code(), Some(78), "{arguments:?}: {told}");
        assert!(told.contains("transaction") && told.contains("session pooling"), "{arguments:?}: {told}");
    }
}
