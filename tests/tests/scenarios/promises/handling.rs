//! One replica of each service: what it holds when it dies, what it cannot hand on, and what stands beside poison.

use devstack::testing::program;
use futures_util::future::join_all;
use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use scenarios::{
    ADMIN_TOKEN, Options, Pipeline, Process, Reply, Sandbox, Servers, Shop, check, run_program, signal, until,
};
use tokio_postgres::Client;

use super::{
    AMOUNT_MINOR, answered, attempts, channel, count, database, insert_parked, publish, until_count,
    until_depth, until_paid,
};

const ORDERS_QUEUE: &str = "trade.pay.success.queue";
const MERCHANTS_QUEUE: &str = "merchant.pay.success.queue";
const IN_FLIGHT: u64 = 100;
/// More than any page, statement or batch of the tools and the notifier takes at once.
const PARKED: i64 = 2_500;
/// What `payrelay` asks for at once at the rates used here, at most.
const PAGE: i64 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_too_early_sent_again_or_left_behind() {
    let sandbox = Sandbox::start().await;
    let mut pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let mut shops = Vec::new();
    for id in ["m1", "down", "bulk"] {
        let merchant = pipeline.add_merchant(id, &sandbox.url(id)).await;
        sandbox.register(&merchant);
        shops.push(pipeline.shop(&merchant));
    }
    let database = database(&pipeline).await;

    a_killed_consumer_has_acknowledged_only_what_it_applied(&mut pipeline, &sandbox, &shops[0]).await;
    a_retry_that_cannot_be_queued_leaves_the_message_where_it_is(&pipeline, &sandbox, &shops[0]).await;
    poison_and_a_failing_merchant_send_nothing_again_to_others(&mut pipeline, &sandbox, &shops, &database)
        .await;
    a_retry_in_bulk_is_complete_though_it_was_interrupted(&pipeline, &sandbox, &database).await;
}

/// A message is acknowledged when its effect is committed: a hundred in hand, none through, and SIGKILL costs nothing.
async fn a_killed_consumer_has_acknowledged_only_what_it_applied(
    pipeline: &mut Pipeline,
    sandbox: &Sandbox,
    shop: &Shop,
) {
    let order_nos: Vec<_> = (0..IN_FLIGHT).map(|number| format!("C-{number}")).collect();
    join_all(order_nos.iter().map(|order_no| shop.create_order(order_no, AMOUNT_MINOR))).await;
    let mut session = database(pipeline).await;
    let watcher = database(pipeline).await;
    let locks = session.transaction().await.expect("a transaction");
    locks.batch_execute("SELECT FROM orders.orders FOR UPDATE").await.expect("the locks");
    let payments = join_all(order_nos.iter().map(|order_no| answered(shop, order_no))).await;
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'order-service%' AND wait_event_type = 'Lock'";
    until_count(&watcher, waiting, 1).await;
    until_depth(pipeline, ORDERS_QUEUE, IN_FLIGHT).await;
    pipeline.order_service[0].kill();
    locks.rollback().await.expect("a rollback");
    assert_eq!(count(&watcher, "SELECT count(*) FROM orders.handled").await, 0, "nothing was through");
    pipeline.order_service[0].start();
    pipeline.order_service[0].ready().await;
    check::settled(pipeline, sandbox, shop, &payments).await;
}

/// Where the copy for a later retry is not taken, the message stays in its own queue, until it is.
async fn a_retry_that_cannot_be_queued_leaves_the_message_where_it_is(
    pipeline: &Pipeline,
    sandbox: &Sandbox,
    shop: &Shop,
) {
    const RETRY: &str = "pay.retry.300ms";
    let (_connection, channel) = channel(pipeline).await;
    let delete = async || {
        channel.exchange_delete(RETRY.into(), ExchangeDeleteOptions::default()).await.expect("a deletion");
    };
    delete().await;
    channel.queue_delete(RETRY.into(), QueueDeleteOptions::default()).await.expect("a deletion");
    // Of another kind, so that the services cannot just declare it again.
    let (kind, options) = (ExchangeKind::Topic, ExchangeDeclareOptions::default());
    channel.exchange_declare(RETRY.into(), kind, options, FieldTable::default()).await.expect("an exchange");
    answered(shop, "L-1").await;
    until("copy that is not taken", async || {
        let log = pipeline.order_service[0].log();
        if log.contains("the copy of a message was not") { Ok(()) } else { Err("nothing logged".to_owned()) }
    })
    .await;
    until_depth(pipeline, ORDERS_QUEUE, 1).await;
    delete().await;
    shop.create_order("L-1", AMOUNT_MINOR).await;
    until_paid(shop, "L-1").await;
    until_depth(pipeline, ORDERS_QUEUE, 0).await;
    let dead = pipeline.servers.vhost().queue_depth(&format!("{ORDERS_QUEUE}.dlq")).unwrap_or_default();
    assert_eq!((dead, attempts(sandbox, "L-1")), (0, 1));
}

/// Everybody has a copy and every webhook a record of its own: who had success is not told again because others fail.
async fn poison_and_a_failing_merchant_send_nothing_again_to_others(
    pipeline: &mut Pipeline,
    sandbox: &Sandbox,
    shops: &[Shop],
    database: &Client,
) {
    assert_eq!(pipeline.notifier[0].terminate().await, Some(0));
    // A row that the database takes from nobody, in the middle of a batch.
    let poison = "ALTER TABLE notify.notifications ADD CONSTRAINT poison CHECK (order_no <> 'F-7')";
    database.batch_execute(poison).await.expect("a constraint");
    let good: Vec<_> = (0..15).map(|number| format!("F-{number}")).collect();
    sandbox.reply("down", Reply::Status(503));
    answered(&shops[1], "X-1").await;
    for (index, order_no) in good.iter().enumerate() {
        // The order service does not know the last one, and retries that in its own queue.
        if index < 14 {
            shops[0].create_order(order_no, AMOUNT_MINOR).await;
        }
        answered(&shops[0], order_no).await;
    }
    let (_connection, channel) = channel(pipeline).await;
    publish(&channel, "application/protobuf", b"\xff\xff poison").await;
    pipeline.notifier[0].start();
    pipeline.notifier[0].ready().await;

    // The poison of bytes, then the poison of the table and the order that nobody knows, after all their retries.
    until_depth(pipeline, &format!("{MERCHANTS_QUEUE}.dlq"), 2).await;
    until_depth(pipeline, &format!("{ORDERS_QUEUE}.dlq"), 3).await;
    until("attempts at the merchant that fails", async || match attempts(sandbox, "X-1") {
        made @ 0..3 => Err(format!("{made} attempts")),
        _ => Ok(()),
    })
    .await;
    let told_once = async |expected: &dyn Fn(&str) -> usize| {
        for order_no in &good {
            let what = format!("webhooks about {order_no}");
            let expected = expected(order_no);
            until(&what, async || match attempts(sandbox, order_no) {
                made if made >= expected => Ok(()),
                made => Err(made.to_string()),
            })
            .await;
            assert_eq!(attempts(sandbox, order_no), expected, "{what}");
        }
    };
    told_once(&|order_no| usize::from(order_no != "F-7")).await;

    database.batch_execute("ALTER TABLE notify.notifications DROP CONSTRAINT poison").await.expect("a mend");
    let replay = ["dlq", "replay", MERCHANTS_QUEUE, "--reason", "attempts_exhausted", "--json"];
    let url = pipeline.servers.amqp_url();
    let replayed = run_program("payrelay", &replay, &[("PAYRELAY_AMQP_URL", &url)]).await.json();
    assert_eq!(replayed["replayed"], 1, "{replayed}");
    told_once(&|_| 1).await;
}

/// A retry of many is not held in anybody's memory: what is left after an interruption is found by the next run.
async fn a_retry_in_bulk_is_complete_though_it_was_interrupted(
    pipeline: &Pipeline,
    sandbox: &Sandbox,
    database: &Client,
) {
    insert_parked(database, "bulk", "B", PARKED).await;
    // The retry goes by the id: at the middle one it waits for us, so that it is interrupted there, however fast it is.
    let hold = format!(
        "SELECT pg_advisory_lock(7);
        CREATE FUNCTION notify.hold() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END $$;
        DO $$ BEGIN
            EXECUTE format('CREATE TRIGGER hold BEFORE UPDATE ON notify.notifications FOR EACH ROW
                WHEN (OLD.status = ''PARKED'' AND OLD.notification_id = %L) EXECUTE FUNCTION notify.hold()',
                (SELECT notification_id FROM notify.notifications WHERE merchant_id = 'bulk'
                 ORDER BY notification_id OFFSET {} LIMIT 1));
        END $$",
        PARKED / 2
    );
    database.batch_execute(&hold).await.expect("a trigger");
    let sent = || sandbox.received().iter().filter(|received| received.merchant_id == "bulk").count();
    let mut command = std::process::Command::new(program("payrelay"));
    command.args(["notifications", "retry", "--merchant", "bulk", "--rate", "1000/s", "--yes"]).env_clear();
    command.env("PAYRELAY_NOTIFIER_ADMIN_URL", &pipeline.notifier[0].admin_url);
    command.env("PAYRELAY_ADMIN_TOKEN", ADMIN_TOKEN);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut interrupted = Process::spawn(&mut command, &folder.path().join("interrupted"));
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'";
    until_count(database, waiting, 1).await;
    signal(interrupted.pid(), "INT");
    assert!(!interrupted.ended().await.success(), "{}", interrupted.log());
    database.batch_execute("SELECT pg_advisory_unlock(7)").await.expect("it is free");

    let parked = "SELECT count(*) FROM notify.notifications WHERE merchant_id = 'bulk' AND status = 'PARKED'";
    let left = count(database, parked).await;
    assert!((1..PARKED).contains(&left), "{left} are left of {PARKED}");
    let retry = ["notifications", "retry", "--merchant", "bulk", "--rate", "1000/s", "--yes"];
    let rest = pipeline.payrelay_json(&retry).await["retried"].as_i64().expect("a number");
    // The notifier may have been at work on a last page of the interrupted run.
    assert!((left - PAGE..=left).contains(&rest), "{rest} retried of {left}");
    let delivered =
        "SELECT count(*) FROM notify.notifications WHERE merchant_id = 'bulk' AND status = 'DELIVERED'";
    until_count(database, delivered, PARKED).await;
    assert_eq!(i64::try_from(sent()), Ok(PARKED), "each was sent once");
}
