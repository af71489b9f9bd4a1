//! `payrelay doctor`, and services that refuse to start on what would lose messages.

use std::collections::BTreeSet;

use devstack::testing::{Database, Vhost};
use devstack::{Stack, StackOptions};
use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use scenarios::{ADMIN_TOKEN, Answer, ORDER_API_TOKEN, Options, Pipeline, Servers, run_program, until};
use serde_json::Value;
use tokio::task::{block_in_place, spawn_blocking};

const QUEUE: &str = "trade.pay.success.queue";

async fn channel(amqp_url: &str) -> Channel {
    let connection = Connection::connect(amqp_url, ConnectionProperties::default()).await;
    connection.expect("a connection").create_channel().await.expect("a channel")
}

/// The codes of what the doctor found.
fn codes(answer: &Answer) -> BTreeSet<String> {
    let told: Value =
        serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    let findings = told["findings"].as_array().unwrap_or_else(|| panic!("{told}"));
    findings.iter().map(|finding| finding["code"].as_str().expect("a code").to_owned()).collect()
}

/// What the doctor says once it finds exactly these codes: what a broker shows of itself is a moment behind.
async fn diagnosis(pipeline: &Pipeline, arguments: &[&str], expected: &[&str]) -> Answer {
    let expected: BTreeSet<_> = expected.iter().map(|code| (*code).to_owned()).collect();
    let arguments = [&["doctor", "--json"], arguments].concat();
    until(&format!("findings {expected:?}"), async || {
        let answer = pipeline.payrelay(&arguments).await;
        if codes(&answer) == expected { Ok(answer) } else { Err(format!("{answer:?}")) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_pipeline_is_sound_and_each_fault_is_found() {
    // On servers as in production: those of the other tests do not wait for the disk.
    let stack = block_in_place(|| Stack::start(&StackOptions::default())).expect("servers");
    let pipeline = Pipeline::start(Servers::Own(Box::new(stack)), Options::default()).await;
    let private = "disk_free_limit_low"; // The disk of private servers needs no more.
    let sound = diagnosis(&pipeline, &[], &[private]).await;
    assert_eq!(sound.code, Some(0), "{sound:?}");
    let strict = diagnosis(&pipeline, &["--strict"], &[private]).await;
    assert_eq!(strict.code, Some(1), "{strict:?}");
    let unseen =
        diagnosis(&pipeline, &["--management-url", "http://127.0.0.1:1"], &["bindings_unseen"]).await;
    assert_eq!(unseen.code, Some(0), "{unseen:?}");

    let url = pipeline.servers.database_url();
    let (client, connection) =
        tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("a database");
    tokio::spawn(connection);
    // Tomorrow's, which nobody needs yet.
    let drop_one = "DO $$ BEGIN EXECUTE (SELECT format('DROP TABLE orders.handled_p%s',
        to_char((now() AT TIME ZONE 'UTC') + interval '1 day', 'YYYYMMDD'))); END $$";
    client.batch_execute(drop_one).await.expect("a partition");
    let channel = channel(&pipeline.servers.amqp_url()).await;
    let unbind =
        channel.queue_unbind(QUEUE.into(), "pay.direct".into(), "pay.success".into(), FieldTable::default());
    unbind.await.expect("a binding");
    let options = QueueBindOptions::default();
    let bind = channel.queue_bind(
        QUEUE.into(),
        "pay.direct".into(),
        "pay.failed".into(),
        options,
        FieldTable::default(),
    );
    bind.await.expect("a binding");
    let spoiled = ["binding_missing", "binding_foreign", "partitions_missing", private];
    let found = diagnosis(&pipeline, &[], &spoiled).await;
    assert_eq!(found.code, Some(1), "{found:?}");
    let read = pipeline.payrelay(&["doctor"]).await;
    assert_eq!(read.code, Some(1), "{read:?}");
    for told in [QUEUE, "payrelay topology apply", "orders.handled_p", "to do:"] {
        assert!(read.stdout.contains(told), "{told} in {read:?}");
    }
}

#[tokio::test]
async fn a_doctor_whom_nobody_answers_says_so() {
    let away = [
        ("PAYRELAY_ADMIN_TOKEN", ADMIN_TOKEN),
        ("PAYRELAY_AMQP_URL", "amqp://pay:hunter2@127.0.0.1:1"),
        ("PAYRELAY_INGRESS_ADMIN_URL", "http://127.0.0.1:1"),
        ("PAYRELAY_ORDER_SERVICE_ADMIN_URL", "http://127.0.0.1:1"),
        ("PAYRELAY_NOTIFIER_ADMIN_URL", "http://127.0.0.1:1"),
        ("PAYRELAY_MANAGEMENT_URL", "http://127.0.0.1:1"),
    ];
    let answer = run_program("payrelay", &["doctor", "--json"], &away).await;
    assert_eq!(answer.code, Some(3), "{answer:?}");
    let expected = ["bindings_unseen", "broker_unreachable", "service_unreachable"];
    assert_eq!(codes(&answer), expected.map(str::to_owned).into(), "{answer:?}");
    assert!(!format!("{answer:?}").contains("hunter2"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_refuse_to_start_on_a_spoiled_queue() {
    let (database, vhost) = spawn_blocking(|| (Database::create(), Vhost::create())).await.expect("servers");
    let channel = channel(vhost.amqp_url()).await;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let notifiers = "merchant.pay.closed.queue";
    for queue in [QUEUE, notifiers] {
        channel.queue_declare(queue.into(), durable, FieldTable::default()).await.expect("a queue");
    }
    let environment = [
        ("PAYRELAY_DATABASE_URL", database.url()),
        ("PAYRELAY_AMQP_URL", vhost.amqp_url()),
        ("PAYRELAY_ADMIN_TOKEN", ADMIN_TOKEN),
        ("PAYRELAY_ADMIN_ADDR", "127.0.0.1:0"),
        ("PAYRELAY_HTTP_ADDR", "127.0.0.1:0"),
        ("PAYRELAY_ORDER_API_TOKEN", ORDER_API_TOKEN),
        ("PAYRELAY_MASTER_KEY", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="),
        ("PAYRELAY_LOG", "off"),
    ];
    for (program, queue) in [("order-service", QUEUE), ("merchant-notifier", notifiers)] {
        let answer = run_program(program, &[], &environment).await;
        assert_eq!(answer.code, Some(78), "{answer:?}");
        assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
        for told in [queue, "payrelay topology check"] {
            assert!(answer.stderr.contains(told), "{told} in {answer:?}");
        }
    }
}
