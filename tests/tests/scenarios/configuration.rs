//! What is configured or called wrongly is refused at once, with every error named and an exit code that says so.

use devstack::testing::Database;
use scenarios::{ADMIN_TOKEN, Answer, run_program};

/// Refused as bad configuration: each of these words on standard error, and nothing on standard output.
fn assert_refused(answer: &Answer, named: &[&str]) {
    assert_eq!(answer.code, Some(78), "{answer:?}");
    for name in named {
        assert!(answer.stderr.contains(name), "{name} in {answer:?}");
    }
    assert!(!answer.stderr.contains("hunter2"), "a secret is told: {answer:?}");
    assert!(!answer.stderr.contains("panicked"), "{answer:?}");
}

#[tokio::test]
async fn every_service_names_every_error_of_its_environment() {
    let shared = [
        ("PAYRELAY_DATABASE_URL", "mysql://pay:hunter2@db/pay"),
        ("PAYRELAY_HTTP_ADDR", "8080"),
        ("PAYRELAY_ADMIN_ADDR", "localhost"),
        ("PAYRELAY_LOG", "ingress=loud"),
        ("PAYRELAY_LOG_FORMAT", "xml"),
        ("PAYRELAY_SHUTDOWN_GRACE_SECONDS", "soon"),
        ("PAYRELAY_RETRY_DELAYS", "5 seconds"),
        ("PAYRELAY_RETENTION_DAYS", "1"),
        ("PAYRELAY_MASTER_KEY", "hunter2"),
        ("PAYRELAY_NOTIFY_LADDER", "later"),
        ("PAYRELAY_ALLOWED_WEBHOOK_CIDRS", "everywhere"),
        ("PAYRELAY_DEFAULT_MERCHANT_ID", "no spaces"),
        ("PAYRELAY_CLOSE_GRACE_SECONDS", "-1"),
        ("PAYRELAY_CHANNELS_FILE", "no-such-file.toml"),
    ];
    let everywhere = [
        "PAYRELAY_DATABASE_URL",
        "PAYRELAY_AMQP_URL",
        "PAYRELAY_ADMIN_ADDR",
        "PAYRELAY_ADMIN_TOKEN",
        "PAYRELAY_LOG:",
        "PAYRELAY_LOG_FORMAT",
        "PAYRELAY_SHUTDOWN_GRACE_SECONDS",
        "PAYRELAY_RETRY_DELAYS",
        "PAYRELAY_RETENTION_DAYS",
    ];
    let of_its_own: [(&str, &[&str]); 3] = [
        ("ingress", &["PAYRELAY_HTTP_ADDR", "PAYRELAY_CLOSE_GRACE_SECONDS", "PAYRELAY_CHANNELS_FILE"]),
        (
            "order-service",
            &["PAYRELAY_HTTP_ADDR", "PAYRELAY_ORDER_API_TOKEN", "PAYRELAY_DEFAULT_MERCHANT_ID"],
        ),
        (
            "merchant-notifier",
            &["PAYRELAY_MASTER_KEY", "PAYRELAY_NOTIFY_LADDER", "PAYRELAY_ALLOWED_WEBHOOK_CIDRS"],
        ),
    ];
    for (program, names) in of_its_own {
        let answer = run_program(program, &[], &shared).await;
        assert_refused(&answer, &everywhere);
        assert_refused(&answer, names);
    }
}

#[tokio::test]
async fn a_wrong_channels_file_is_refused_with_all_that_is_wrong_in_it() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("channels.toml");
    let channels = r#"
        [first]
        kind = "carrier-pigeon"
        [second]
        kind = "standard"
        [third]
        kind = "standard"
        secret = "hunter2"
        [fourth]
        kind = "standard"
        secret_file = "no-such-file"
        colour = "blue"
        [balance]
        kind = "standard"
    "#;
    std::fs::write(&file, channels).expect("a channels file");
    let environment = [
        ("PAYRELAY_DATABASE_URL", "postgres://127.0.0.1/pay"),
        ("PAYRELAY_AMQP_URL", "amqp://127.0.0.1"),
        ("PAYRELAY_ADMIN_TOKEN", ADMIN_TOKEN),
        ("PAYRELAY_CHANNELS_FILE", file.to_str().expect("a path")),
    ];
    let answer = run_program("ingress", &[], &environment).await;
    assert_refused(
        &answer,
        &["carrier-pigeon", "[second]", "[third]", "[fourth] secret_file", "colour", "[balance]"],
    );
}

#[tokio::test]
async fn a_database_that_turns_us_away_ends_programs_with_one_line() {
    let database = Database::create();
    let (_, server) = database.url().split_once('@').expect("a user in the URL");
    let (server, _) = server.split_once('/').expect("a database in the URL");
    let environment = [
        ("PAYRELAY_DATABASE_URL", &*format!("postgres://nobody:hunter2@{server}/no_such_database")),
        ("PAYRELAY_AMQP_URL", "amqp://127.0.0.1:1"),
        ("PAYRELAY_ADMIN_TOKEN", ADMIN_TOKEN),
        ("PAYRELAY_ADMIN_ADDR", "127.0.0.1:0"),
        ("PAYRELAY_HTTP_ADDR", "127.0.0.1:0"),
        ("PAYRELAY_LOG", "off"),
    ];
    for (program, arguments) in [("ingress", &[][..]), ("payrelay", &["migrate"])] {
        let answer = run_program(program, arguments, &environment).await;
        assert_eq!(answer.code, Some(78), "{answer:?}");
        assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
        assert!(!answer.stderr.contains("hunter2"), "{answer:?}");
    }
}

#[tokio::test]
async fn payrelay_tells_wrong_usage_from_a_server_that_cannot_be_reached() {
    for arguments in [
        &["no-such-command"][..],
        &["trace"],
        &["trace", "no spaces"],
        &["merchant", "add"],
        &["merchant", "add", "m1", "--ack", "maybe"],
        &["audit", "--from", "yesterday"],
        &["contradictions", "list", "--limit", "0"],
    ] {
        let answer = run_program("payrelay", arguments, &[("PAYRELAY_ADMIN_TOKEN", ADMIN_TOKEN)]).await;
        assert_eq!(answer.code, Some(2), "{arguments:?}: {answer:?}");
        assert!(!answer.stderr.is_empty() && answer.stdout.is_empty(), "{answer:?}");
    }
    let no_token = run_program("payrelay", &["audit"], &[]).await;
    assert_eq!(no_token.code, Some(2), "{no_token:?}");
    assert!(no_token.stderr.contains("PAYRELAY_ADMIN_TOKEN"), "{no_token:?}");

    let nobody = [
        ("PAYRELAY_ADMIN_TOKEN", ADMIN_TOKEN),
        ("PAYRELAY_INGRESS_ADMIN_URL", "http://127.0.0.1:1"),
        ("PAYRELAY_ORDER_SERVICE_ADMIN_URL", "http://127.0.0.1:1"),
        ("PAYRELAY_NOTIFIER_ADMIN_URL", "http://127.0.0.1:1"),
    ];
    for arguments in [&["audit"][..], &["trace", "O-1"], &["merchant", "list"], &["contradictions", "list"]] {
        let answer = run_program("payrelay", arguments, &nobody).await;
        assert_eq!(answer.code, Some(3), "{arguments:?}: {answer:?}");
        assert!(answer.stderr.contains("http://127.0.0.1:1"), "{answer:?}");
    }
}
