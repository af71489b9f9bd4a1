//! What consumers could not use: an operator sees it, mends the reason, replays what can be used now and discards the rest.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use channels::standard::Kind;
use devstack::testing::{Vhost, free_port, program};
use futures_util::future::join_all;
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Confirmation, Connection, ConnectionProperties, PublisherConfirm};
use scenarios::{Answer, Options, Pipeline, Process, Sandbox, Servers, check, run_program, signal, until};
use serde_json::{Value, json};

const QUEUE: &str = "trade.pay.success.queue";
const POISON: &[u8] = b"\xff\xff poison";

/// Runs `payrelay` as an operator of the broker.
async fn payrelay(pipeline: &Pipeline, arguments: &[&str]) -> Answer {
    run_program("payrelay", arguments, &[("PAYRELAY_AMQP_URL", &pipeline.servers.amqp_url())]).await
}

async fn connect(pipeline: &Pipeline) -> Connection {
    let url = pipeline.servers.amqp_url();
    Connection::connect(&url, ConnectionProperties::default()).await.expect("a connection")
}

/// A quorum queue that has just been made may lose what is published without a confirm.
async fn confirmed(published: lapin::Result<PublisherConfirm>) {
    let confirmation = published.expect("a publish").await.expect("a confirm");
    assert!(matches!(confirmation, Confirmation::Ack(None)), "{confirmation:?}");
}

/// The line of `payrelay dlq list` about the order service's queue.
async fn listed(pipeline: &Pipeline) -> Value {
    let rows = payrelay(pipeline, &["dlq", "list", "--json"]).await.json();
    let rows = rows.as_array().expect("a list").clone();
    assert_eq!(rows.len(), 8, "{rows:?}");
    rows.into_iter().find(|row| row["queue"] == format!("{QUEUE}.dlq")).expect("the queue")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_order_is_replayed_once_it_is_known_and_poison_is_discarded_to_a_file() {
    let sandbox = Sandbox::start().await;
    let pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);

    let connection = connect(&pipeline).await;
    let channel = connection.create_channel().await.expect("a channel");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let properties =
        BasicProperties::default().with_delivery_mode(2).with_content_type("application/protobuf".into());
    let options = BasicPublishOptions::default();
    until(QUEUE, async || pipeline.servers.vhost().queue_depth(QUEUE).ok_or("it is not there".to_owned()))
        .await;
    let published = channel.basic_publish("".into(), QUEUE.into(), options, POISON, properties).await;
    confirmed(published).await;
    // Paid, and the order service does not know the order until its retries are used up.
    let pay_order_no = shop.create_pay_order("O-1", 1999).await;
    shop.tell_until_taken(&shop.notice(Kind::PaymentSucceeded, &pay_order_no, 1999)).await;
    let row = until("two dead letters", async || {
        let row = listed(&pipeline).await;
        if row["depth"] == 2 { Ok(row) } else { Err(row.to_string()) }
    })
    .await;
    assert_eq!(row["reasons"], json!({ "attempts_exhausted": 1, "undecodable": 1 }));
    assert!(row["oldest"].is_string(), "{row}");

    let shown = payrelay(&pipeline, &["dlq", "show", QUEUE, "--order", "O-1", "--json"]).await.json();
    assert_eq!(shown.as_array().map(Vec::len), Some(1), "{shown}");
    assert_eq!(shown[0]["event"]["payOrderNo"], pay_order_no, "{shown}");
    assert_eq!(shown[0]["attempts"], 4, "{shown}");
    assert!(shown[0]["detail"].as_str().is_some_and(|detail| detail.contains("unknown_order")), "{shown}");
    let read = payrelay(&pipeline, &["dlq", "show", &format!("{QUEUE}.dlq")]).await;
    assert_eq!(read.code, Some(0), "{read:?}");
    assert!(read.stdout.contains("undecodable") && read.stdout.contains("poison"), "{read:?}");
    assert_eq!(listed(&pipeline).await["depth"], 2, "a look takes nothing away");

    shop.create_order("O-1", 1999).await;
    let replay = ["dlq", "replay", QUEUE, "--reason", "attempts_exhausted", "--json"];
    assert_eq!(payrelay(&pipeline, &replay).await.json(), json!({ "replayed": 1, "failed": 0, "left": 1 }));
    until("paid order", async || {
        let order = shop.order("O-1").await;
        if order["status"] == "PAID" { Ok(()) } else { Err(order.to_string()) }
    })
    .await;
    assert_eq!(payrelay(&pipeline, &replay).await.json()["replayed"], 0, "nothing is left to replay");

    discard(&pipeline).await;
    check::audited(&pipeline).await;
}

/// Discards the poison.
async fn discard(pipeline: &Pipeline) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("discarded.jsonl");
    let path = file.to_str().expect("a path");
    let asked = payrelay(pipeline, &["dlq", "discard", QUEUE, "--file", path]).await;
    assert_eq!(asked.code, Some(2), "nobody is there to be asked: {asked:?}");
    let nowhere = payrelay(pipeline, &["dlq", "discard", QUEUE, "--yes", "--file", "/no/such/folder"]).await;
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
    assert_eq!(listed(pipeline).await["depth"], 1);

    let arguments = ["dlq", "discard", QUEUE, "--reason", "undecodable", "--yes", "--file", path];
    let discarded = payrelay(pipeline, &arguments).await;
    assert_eq!(discarded.code, Some(0), "{discarded:?}");
    let written = fs::read_to_string(&file).expect("the file");
    let record: Value = serde_json::from_str(&written).expect("one line of JSON");
    assert_eq!(record["body_base64"], STANDARD.encode(POISON));
    assert_eq!(record["headers"]["x-payrelay-reason"], "undecodable", "{record}");
    assert_eq!(record["properties"]["content_type"], "application/protobuf", "{record}");
    assert_eq!(listed(pipeline).await["depth"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_interrupted_or_killed_loses_nothing() {
    const MESSAGES: u32 = 300;
    let vhost = tokio::task::spawn_blocking(Vhost::create).await.expect("a vhost");
    let environment = [("PAYRELAY_AMQP_URL", vhost.amqp_url())];
    assert_eq!(run_program("payrelay", &["topology", "apply"], &environment).await.code, Some(0));
    let connection = Connection::connect(vhost.amqp_url(), ConnectionProperties::default()).await;
    let channel = connection.expect("a connection").create_channel().await.expect("a channel");
    let dead = format!("{QUEUE}.dlq");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    for number in 0..MESSAGES {
        let options = BasicPublishOptions::default();
        let properties = BasicProperties::default().with_message_id(number.to_string().into());
        let body = number.to_string();
        let published =
            channel.basic_publish("".into(), dead.as_str().into(), options, body.as_bytes(), properties);
        confirmed(published.await).await;
    }
    let depth = async |queue: &str| {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(queue.into(), passive, FieldTable::default()).await;
        declared.expect("a queue").message_count()
    };
    let reached = async |queue: &str, expected: RangeInclusive<u32>| {
        until(&format!("{expected:?} messages in {queue}"), async || {
            let found = depth(queue).await;
            if expected.contains(&found) { Ok(found) } else { Err(found.to_string()) }
        })
        .await
    };
    reached(&dead, MESSAGES..=MESSAGES).await;

    let folder = tempfile::tempdir().expect("a temporary directory");
    // More than a minute for all: time enough to be interrupted in the middle.
    let replay = |name: &str| {
        let mut command = std::process::Command::new(program("payrelay"));
        command.args(["dlq", "replay", QUEUE, "--rate", "4/s"]).env_clear().envs(environment);
        Process::spawn(&mut command, &folder.path().join(name))
    };
    let mut interrupted = replay("interrupted");
    reached(QUEUE, 8..=MESSAGES).await;
    signal(interrupted.pid(), "INT");
    assert_eq!(interrupted.ended().await.code(), Some(1), "{}", interrupted.log());
    assert!(interrupted.log().contains("run it again"), "{}", interrupted.log());
    let replayed = until("each message in one of the queues", async || {
        let (replayed, left) = (depth(QUEUE).await, depth(&dead).await);
        if replayed + left == MESSAGES { Ok(replayed) } else { Err(format!("{replayed} and {left}")) }
    })
    .await;
    assert!(replayed < MESSAGES, "it was interrupted in the middle");

    let killed = replay("killed");
    reached(QUEUE, replayed + 8..=MESSAGES).await;
    drop(killed);
    let arguments = ["dlq", "replay", QUEUE, "--rate", "10000/s"];
    until("empty dead-letter queue", async || {
        // What the killed one held may come back a moment later.
        let answer = run_program("payrelay", &arguments, &environment).await;
        assert_eq!(answer.code, Some(0), "{answer:?}");
        if depth(&dead).await == 0 && depth(QUEUE).await >= MESSAGES { Ok(()) } else { Err(answer.stdout) }
    })
    .await;
    let mut bodies = BTreeSet::new();
    let no_ack = BasicGetOptions { no_ack: true };
    while let Some(message) = channel.basic_get(QUEUE.into(), no_ack).await.expect("an answer") {
        bodies.insert(String::from_utf8(message.delivery.data).expect("text"));
    }
    assert_eq!(bodies, (0..MESSAGES).map(|number| number.to_string()).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoiled_topology_is_found_and_applied_again() {
    let pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let delays = "300ms,600ms,1s";
    let url = pipeline.servers.amqp_url();
    let environment = [("PAYRELAY_AMQP_URL", url.as_str()), ("PAYRELAY_RETRY_DELAYS", delays)];
    let topology = async |arguments: &[&str]| {
        run_program("payrelay", &[&["topology"], arguments].concat(), &environment).await
    };
    assert_eq!(topology(&["apply"]).await.code, Some(0));
    let sound = topology(&["check"]).await;
    assert_eq!(sound.code, Some(0), "{sound:?}");

    let channel = connect(&pipeline).await.create_channel().await.expect("a channel");
    let dead = "merchant.pay.closed.queue.dlq";
    channel.queue_delete(dead.into(), QueueDeleteOptions::default()).await.expect("a deletion");
    let missing = topology(&["check"]).await;
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.stdout.contains(dead) && missing.stdout.contains("topology apply"), "{missing:?}");
    let listed = payrelay(&pipeline, &["dlq", "list"]).await;
    assert_eq!(listed.code, Some(1), "{listed:?}");
    assert!(listed.stderr.contains("topology apply"), "{listed:?}");
    assert_eq!(topology(&["apply"]).await.code, Some(0));
    assert_eq!(topology(&["check", "--json"]).await.json(), json!([]));

    let shown = topology(&["show", "--json"]).await.json();
    assert_eq!(shown["queues"].as_array().map(Vec::len), Some(19), "{shown}");
    let table = topology(&["show"]).await;
    assert!(table.stdout.contains("pay.retry.300ms") && table.stdout.contains(QUEUE), "{table:?}");
}

#[tokio::test]
async fn commands_of_the_broker_tell_wrong_usage_from_a_broker_that_is_away() {
    let away = [("PAYRELAY_AMQP_URL", "amqp://pay:hunter2@127.0.0.1:1")];
    for arguments in
        [&["dlq", "list"][..], &["dlq", "show", QUEUE], &["dlq", "replay", QUEUE], &["topology", "check"]]
    {
        let answer = run_program("payrelay", arguments, &away).await;
        assert_eq!(answer.code, Some(3), "{arguments:?}: {answer:?}");
        assert!(!answer.stderr.contains("hunter2"), "{answer:?}");
        let unset = run_program("payrelay", arguments, &[]).await;
        assert_eq!(unset.code, Some(2), "{arguments:?}: {unset:?}");
        assert!(unset.stderr.contains("PAYRELAY_AMQP_URL"), "{unset:?}");
    }
    for arguments in [
        &["dlq", "show", "no.such.queue"][..],
        &["dlq", "replay", QUEUE, "--rate", "0"],
        &["dlq", "discard", QUEUE],
        &["dlq", "show", QUEUE, "--order", "no spaces"],
    ] {
        assert_eq!(run_program("payrelay", arguments, &away).await.code, Some(2), "{arguments:?}");
    }
}

/// Threads of the broker's client are not the command's own: one that ends badly says so on standard error alone.
#[tokio::test(flavor = "multi_thread")]
async fn every_command_that_asks_the_broker_ends_without_a_word_of_its_client() {
    const AT_ONCE: usize = 8;
    let vhost = Vhost::create();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("discarded").display().to_string();
    let run = async |arguments: &[&str]| {
        run_program("payrelay", arguments, &[("PAYRELAY_AMQP_URL", vhost.amqp_url())]).await
    };
    assert_eq!(run(&["topology", "apply"]).await.code, Some(0));
    let dlq = format!("{QUEUE}.dlq");
    let commands: [&[&str]; 7] = [
        &["topology", "apply"],
        &["topology", "check"],
        &["dlq", "list"],
        &["dlq", "show", QUEUE],
        &["dlq", "replay", QUEUE],
        &["dlq", "replay", &dlq, "--limit", "1"],
        &["dlq", "discard", QUEUE, "--yes", "--file", &file],
    ];
    for command in commands {
        for _ in 0..3 {
            let ended = join_all((0..AT_ONCE).map(|_| run(command))).await;
            for answer in ended {
                let said: Vec<_> = answer
                    .stderr
                    .lines()
                    .filter(|line| !line.starts_with(&format!("{QUEUE}.dlq: ")))
                    .collect();
                assert_eq!((answer.code, said), (Some(0), Vec::new()), "{command:?}");
            }
        }
    }
    // Nobody is there, and nobody is let in.
    let nobody = format!("amqp://guest:guest@127.0.0.1:{}", free_port());
    let stranger = vhost.amqp_url().replace("guest:guest", "guest:wrong");
    for (url, reason) in [(nobody, "refused"), (stranger, "may not log in")] {
        for command in &commands[1..] {
            let answer = run_program("payrelay", command, &[("PAYRELAY_AMQP_URL", &url)]).await;
            assert_eq!((answer.code, answer.stderr.lines().count()), (Some(3), 1), "{command:?}: {answer:?}");
            assert!(answer.stderr.contains(reason), "{command:?}: {answer:?}");
        }
    }
}
