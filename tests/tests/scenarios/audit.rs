//! What an audit names: the order, the stage where it stands, and why.

use std::collections::BTreeSet;
use std::process::Command;

use channels::standard::Kind;
use devstack::testing::{free_port, program};
use lapin::options::QueuePurgeOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use scenarios::{
    ADMIN_TOKEN, Answer, Load, Options, Pipeline, Process, Reply, Sandbox, Servers, Shop, check, http_client,
    run_program, signal, until,
};
use serde_json::Value;

/// All retries of the pipeline are over after two seconds.
fn environment(pipeline: &Pipeline) -> [(&'static str, &str); 5] {
    [
        ("PAYRELAY_ADMIN_TOKEN", ADMIN_TOKEN),
        ("PAYRELAY_INGRESS_ADMIN_URL", &pipeline.ingress[0].admin_url),
        ("PAYRELAY_ORDER_SERVICE_ADMIN_URL", &pipeline.order_service[0].admin_url),
        ("PAYRELAY_NOTIFIER_ADMIN_URL", &pipeline.notifier[0].admin_url),
        ("PAYRELAY_RETRY_DELAYS", "300ms,600ms,1s"),
    ]
}

/// An audit of everything up to this moment.
async fn audit(pipeline: &Pipeline) -> (Answer, Value) {
    let answer =
        run_program("payrelay", &["audit", "--settle", "0s", "--json"], &environment(pipeline)).await;
    let audit = serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    (answer, audit)
}

type Named = BTreeSet<(String, String, String)>;

/// Order, service and stage of all findings.
fn named(audit: &Value) -> Named {
    let findings = audit["findings"].as_array().expect("findings").iter();
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
    findings.map(|one| (text(one, "order_no"), text(one, "service"), text(one, "stage"))).collect()
}

fn expected(findings: &[(&str, &str, &str)]) -> Named {
    let owned = |text: &str| text.to_owned();
    findings
        .iter()
        .map(|(order_no, service, stage)| (owned(order_no), owned(service), owned(stage)))
        .collect()
}

/// Audits until exactly this is found.
async fn finds(pipeline: &Pipeline, findings: &[(&str, &str, &str)]) -> (Answer, Value) {
    until("findings", async || {
        let (answer, audit) = audit(pipeline).await;
        if named(&audit) == expected(findings) { Ok((answer, audit)) } else { Err(answer.stdout) }
    })
    .await
}

fn why<'a>(audit: &'a Value, order_no: &str) -> &'a str {
    let findings = audit["findings"].as_array().expect("findings").iter();
    let mut whys = findings.filter(|one| one["order_no"] == order_no).filter_map(|one| one["why"].as_str());
    whys.next().unwrap_or_else(|| panic!("{order_no} in {audit}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_vanished_is_named_with_the_stage_that_lost_it() {
    let sandbox = Sandbox::start().await;
    let pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);
    let mut pay_orders = Vec::new();
    for order in 0..6 {
        pay_orders.push(shop.pay(&format!("O-{order}"), 1999).await);
    }
    check::audited(&pipeline).await;

    let (database, connection) =
        tokio_postgres::connect(&pipeline.servers.database_url(), tokio_postgres::NoTls)
            .await
            .expect("a session");
    tokio::spawn(connection);
    let sabotage = format!(
        "DELETE FROM orders.handled WHERE order_no IN ('O-1', 'O-3');
         DELETE FROM notify.notifications WHERE order_no IN ('O-2', 'O-3');
         DELETE FROM pay.events WHERE pay_order_no IN ('{}', '{}')",
        pay_orders[3], pay_orders[4]
    );
    database.batch_execute(&sabotage).await.expect("rows to delete");
    let lost = [
        ("O-1", "order-service", "missing"),
        ("O-2", "merchant-notifier", "missing"),
        ("O-3", "ingress", "event_missing"),
        ("O-4", "ingress", "event_missing"),
        ("O-4", "order-service", "unexpected"),
        ("O-4", "merchant-notifier", "unexpected"),
    ];
    let (answer, found) = finds(&pipeline, &lost).await;
    assert_eq!(answer.code, Some(1), "{answer:?}");
    for finding in found["findings"].as_array().expect("findings") {
        let order: usize = finding["order_no"].as_str().expect("a number")[2..].parse().expect("a number");
        assert!(
            [&pay_orders[order].as_str().into(), &Value::Null].contains(&&finding["pay_order_no"]),
            "{finding}"
        );
    }
    let table = run_program("payrelay", &["audit", "--settle", "0s"], &environment(&pipeline)).await.stdout;
    let row = |stage: &str| table.lines().any(|line| line.contains("O-1") && line.contains(stage));
    assert!(row("missing") && row(&pay_orders[1]) && table.contains("NOT complete"), "{table}");
    watched(&pipeline, lost.len()).await;
}

/// A watch tells Prometheus of so many events that nobody can find, until it is terminated.
async fn watched(pipeline: &Pipeline, missing: usize) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(program("payrelay"));
    command.args(["audit", "--watch", "--interval", "1s", "--settle", "0s", "--listen", &address]);
    command.env_clear().envs(environment(pipeline));
    let mut watch = Process::spawn(&mut command, &folder.path().join("watch.log"));
    let (http, expected) = (http_client(), format!("payrelay_audit_missing {missing}\n"));
    let metrics = until("metrics of the audit", async || {
        let answer =
            http.get(format!("http://{address}/metrics")).send().await.map_err(|error| error.to_string())?;
        let metrics = answer.text().await.map_err(|error| error.to_string())?;
        if metrics.contains(&expected) { Ok(metrics) } else { Err(metrics) }
    })
    .await;
    for name in ["payrelay_audit_pending 0\n", "payrelay_audit_parked 0\n", "payrelay_audit_oldest_seconds "]
    {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    signal(watch.pid(), "TERM");
    assert!(watch.ended().await.success());
    assert!(watch.log().contains(&format!("{missing} missing")), "{}", watch.log());
}

/// Takes the bindings of a routing key away, so that the broker returns what is published under it.
async fn unbind(pipeline: &Pipeline, key: &str) {
    let url = pipeline.servers.amqp_url();
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.expect("a connection");
    let channel = connection.create_channel().await.expect("a channel");
    for consumer in ["trade", "merchant"] {
        let queue = format!("{consumer}.{key}.queue");
        let unbound = channel.queue_unbind(
            queue.as_str().into(),
            "pay.direct".into(),
            key.into(),
            FieldTable::default(),
        );
        unbound.await.expect("a binding to take away");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_and_what_was_given_up_is_named_with_its_reason() {
    let sandbox = Sandbox::start().await;
    let options = Options { environment: vec![("PAYRELAY_NOTIFY_LADDER", "1h")], ..Options::default() };
    let pipeline = Pipeline::start(Servers::shared(), options).await;
    let mut shops = Vec::new();
    for id in ["up", "down"] {
        let merchant = pipeline.add_merchant(id, &sandbox.url(id)).await;
        sandbox.register(&merchant);
        shops.push(pipeline.shop(&merchant));
    }
    sandbox.reply("down", Reply::Status(503));
    shops[0].pay("DONE", 1999).await;
    shops[1].pay("PENDING", 1999).await;
    // Without an order there is nothing to pay: retried, then dead-lettered. Its merchant is told all the same.
    let stranger = shops[0].create_pay_order("STRANGER", 1999).await;
    shops[0].tell_until_taken(&shops[0].notice(Kind::PaymentSucceeded, &stranger, 1999)).await;
    let found = [("PENDING", "merchant-notifier", "pending"), ("STRANGER", "order-service", "dead_letter")];
    let (_, audited) = finds(&pipeline, &found).await;
    assert!(why(&audited, "PENDING").starts_with("1 failed attempts, next "), "{audited}");
    let letter = why(&audited, "STRANGER");
    assert!(
        letter.contains("trade.pay.success.queue.dlq") && letter.contains("attempts_exhausted"),
        "{letter}"
    );

    unbind(&pipeline, "pay.failed").await;
    let failed = shops[0].create_pay_order("RETURNED", 1999).await;
    shops[0].tell_until_taken(&shops[0].notice(Kind::PaymentFailed, &failed, 1999)).await;
    let found = [found[0], found[1], ("RETURNED", "ingress", "not_published")];
    until("a returned event", async || {
        let (_, audited) = finds(&pipeline, &found).await;
        let why = why(&audited, "RETURNED").to_owned();
        if why.contains("returned by the broker") { Ok(()) } else { Err(why) }
    })
    .await;

    // What is younger than it may be is on its way, and nothing to worry about.
    let young = pipeline.payrelay(&["audit", "--settle", "1h"]).await;
    assert_eq!(young.code, Some(0), "{young:?}");
    assert!(young.stdout.contains("settling: 2 "), "{young:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_with_a_reason_is_named_and_no_finding() {
    let sandbox = Sandbox::start().await;
    let options = Options { environment: vec![("PAYRELAY_NOTIFY_LADDER", "1ms")], ..Options::default() };
    let pipeline = Pipeline::start(Servers::shared(), options).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    sandbox.reply("m1", Reply::Status(503));
    pipeline.shop(&merchant).pay("O-1", 1999).await;
    let (answer, audited) = finds(&pipeline, &[("O-1", "merchant-notifier", "parked")]).await;
    assert!(why(&audited, "O-1").starts_with("attempts_exhausted"), "{audited}");
    assert_eq!((answer.code, &audited["gaps"]), (Some(0), &Value::Array(Vec::new())), "{audited}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_in_full_flow_finds_nothing_missing() {
    let sandbox = Sandbox::start().await;
    let pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);
    let mut load = Load::start(&shop, "L");
    for _ in 0..6 {
        load.more(10).await;
        // The default delays: an event may be in flight for as long as a slow machine needs.
        let answer = pipeline.payrelay(&["audit", "--settle", "0s", "--json"]).await;
        let audit: Value =
            serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
        let on_the_way = ["not_published", "retrying", "pending"];
        let strange: Vec<_> =
            named(&audit).into_iter().filter(|(.., stage)| !on_the_way.contains(&stage.as_str())).collect();
        assert!(strange.is_empty(), "{strange:?}");
    }
    let payments = load.finish().await;
    check::settled(&pipeline, &sandbox, &shop, &payments).await;
}

/// Empties a queue, as a broker that comes back without it does.
async fn purge(pipeline: &Pipeline, queue: &str) -> u32 {
    let url = pipeline.servers.amqp_url();
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.expect("a connection");
    let channel = connection.create_channel().await.expect("a channel");
    channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await.expect("a queue to empty")
}

/// Its consumers are away, and the broker loses what it has confirmed: of one order both copies, of the other one.
async fn lose_two_payments(pipeline: &mut Pipeline, shop: &Shop) {
    for order_no in ["BOTH", "ONE"] {
        shop.create_order(order_no, 1999).await;
    }
    pipeline.order_service[0].terminate().await;
    pipeline.notifier[0].terminate().await;
    let lose = async |order_no: &'static str, queues: &[&str]| {
        let pay_order_no = shop.create_pay_order(order_no, 1999).await;
        shop.tell_until_taken(&shop.notice(Kind::PaymentSucceeded, &pay_order_no, 1999)).await;
        for queue in queues {
            until("the event to lose", async || {
                if purge(pipeline, queue).await == 1 { Ok(()) } else { Err(format!("{queue} is empty")) }
            })
            .await;
        }
    };
    lose("BOTH", &["trade.pay.success.queue", "merchant.pay.success.queue"]).await;
    lose("ONE", &["merchant.pay.success.queue"]).await;
    pipeline.order_service[0].start();
    pipeline.notifier[0].start();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_got_lost_is_published_again_and_arrives() {
    let sandbox = Sandbox::start().await;
    let mut pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);
    shop.pay("SOUND", 1999).await;
    check::audited(&pipeline).await;

    lose_two_payments(&mut pipeline, &shop).await;
    let missing = [
        ("BOTH", "order-service", "missing"),
        ("BOTH", "merchant-notifier", "missing"),
        ("ONE", "merchant-notifier", "missing"),
    ];
    until("services", async || {
        let answer = pipeline.payrelay(&["audit", "--json"]).await;
        if answer.code == Some(3) { Err(answer.stderr) } else { Ok(()) }
    })
    .await;
    let (_, audited) = finds(&pipeline, &missing).await;
    let id_of = |order_no: &str| {
        let findings = audited["findings"].as_array().expect("findings").iter();
        let mut ids =
            findings.filter(|one| one["order_no"] == order_no).filter_map(|one| one["event_id"].as_str());
        ids.next().expect("an event").to_owned()
    };

    let republish = async |more: &[&str]| {
        let arguments =
            [&["events", "republish", "--settle", "0s", "--by", "tester", "--json"], more].concat();
        run_program("payrelay", &arguments, &environment(&pipeline)).await
    };
    // Nobody has agreed.
    let preview = republish(&[]).await;
    assert_eq!(preview.code, Some(2), "{preview:?}");
    assert!(
        preview.stderr.contains("2 events are missing") && preview.stderr.contains("order BOTH"),
        "{preview:?}"
    );
    finds(&pipeline, &missing).await;
    let stranger = republish(&["--yes", "00000000-0000-7000-8000-000000000000"]).await;
    assert_eq!(stranger.code, Some(1), "{stranger:?}");

    let one = republish(&["--yes", &id_of("ONE")]).await.json();
    assert_eq!((&one["missing"], &one["queued"]), (&1.into(), &1.into()), "{one}");
    finds(&pipeline, &missing[..2]).await;
    let rest = republish(&["--yes", "--rate", "1000/s"]).await.json();
    assert_eq!((&rest["queued"], &rest["unknown"]), (&1.into(), &Value::Array(Vec::new())), "{rest}");
    check::audited(&pipeline).await;
    for order_no in ["SOUND", "BOTH", "ONE"] {
        assert_eq!(shop.order(order_no).await["status"], "PAID", "{order_no}");
        until("one webhook", async || {
            let received = sandbox.received_of(order_no).len();
            if received == 1 { Ok(()) } else { Err(received.to_string()) }
        })
        .await;
    }
    let nothing = republish(&["--yes"]).await.json();
    assert_eq!((&nothing["missing"], &nothing["queued"]), (&0.into(), &0.into()), "{nothing}");
    let log = pipeline.ingress[0].log();
    assert_eq!(log.matches("event goes into the outbox again").count(), 2, "{log}");
    assert!(log.contains("tester"), "{log}");
}
