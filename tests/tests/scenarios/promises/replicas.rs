//! Three replicas of everything, and two operators at once.

use futures_util::future::join_all;
use scenarios::{Options, Pipeline, Received, Reply, Sandbox, Servers, Shop, run_program, until};
use serde_json::Value;
use tokio_postgres::Client;

use super::{
    AMOUNT_MINOR, answered, attempts, database, insert_parked, until_count, until_depth, until_paid,
};

/// Merchants that fail. One notification each, so that no breaker opens.
const DOWN: [&str; 3] = ["down1", "down2", "down3"];
const QUEUE: &str = "trade.pay.success.queue";

#[tokio::test(flavor = "multi_thread")]
async fn replicas_and_operators_at_once_do_everything_once() {
    let sandbox = Sandbox::start().await;
    let environment = vec![("PAYRELAY_NOTIFY_LADDER", "200ms,200ms,200ms")];
    let mut pipeline = Pipeline::start(Servers::shared(), Options { replicas: 3, environment }).await;
    let mut shops = Vec::new();
    for id in ["m1"].into_iter().chain(DOWN) {
        let merchant = pipeline.add_merchant(id, &sandbox.url(id)).await;
        sandbox.register(&merchant);
        shops.push(pipeline.shop(&merchant));
    }
    let database = database(&pipeline).await;

    attempts_are_counted_once_for_all_replicas(&sandbox, &shops[1..], &database).await;
    two_retries_at_once_send_each_notification_once(&pipeline, &sandbox, &database).await;
    two_replays_at_once_apply_each_dead_letter_once(&pipeline, &sandbox, &shops[0]).await;
    an_attempt_that_died_with_its_replica_is_made_by_another(&mut pipeline, &sandbox, &shops[0], &database)
        .await;
}

/// A ladder is climbed once, however many replicas there are: the first attempt and one after each delay.
async fn attempts_are_counted_once_for_all_replicas(sandbox: &Sandbox, shops: &[Shop], database: &Client) {
    for shop in shops {
        sandbox.reply(&shop.merchant.id, Reply::Status(503));
        shop.create_order(&shop.merchant.id, AMOUNT_MINOR).await;
    }
    join_all(shops.iter().map(|shop| answered(shop, &shop.merchant.id))).await;
    let exhausted = "SELECT count(*) FROM notify.notifications WHERE reason = 'attempts_exhausted'";
    until_count(database, exhausted, 3).await;
    for id in DOWN {
        assert_eq!(attempts(sandbox, id), 4, "attempts at {id}");
    }
}

/// Whoever asks for a retry at the same time gets other notifications: each is sent once, by one of them.
async fn two_retries_at_once_send_each_notification_once(
    pipeline: &Pipeline,
    sandbox: &Sandbox,
    database: &Client,
) {
    insert_parked(database, "m1", "R", 200).await;
    let retry =
        ["notifications", "retry", "--merchant", "m1", "--rate", "500/s", "--yes", "--json"].as_slice();
    let (one, other) = tokio::join!(pipeline.payrelay(retry), pipeline.payrelay(retry));
    let retried = [one, other].map(|answer| answer.json()["retried"].as_i64().expect("a number"));
    assert_eq!(retried.iter().sum::<i64>(), 200, "{retried:?}");
    let delivered =
        "SELECT count(*) FROM notify.notifications WHERE order_no LIKE 'R-%' AND status = 'DELIVERED'";
    until_count(database, delivered, 200).await;
    let sent = sandbox.received().iter().filter(|received| received.order_no().starts_with("R-")).count();
    assert_eq!(sent, 200);
}

/// Two replays share the dead letters: each is published once, and applied once.
async fn two_replays_at_once_apply_each_dead_letter_once(
    pipeline: &Pipeline,
    sandbox: &Sandbox,
    shop: &Shop,
) {
    let order_nos: Vec<_> = (0..20).map(|number| format!("D-{number}")).collect();
    join_all(order_nos.iter().map(|order_no| answered(shop, order_no))).await;
    until_depth(pipeline, &format!("{QUEUE}.dlq"), 20).await;
    join_all(order_nos.iter().map(|order_no| shop.create_order(order_no, AMOUNT_MINOR))).await;

    let url = pipeline.servers.amqp_url();
    let environment = [("PAYRELAY_AMQP_URL", url.as_str())];
    let replay = || run_program("payrelay", &["dlq", "replay", QUEUE, "--json"], &environment);
    let (one, other) = tokio::join!(replay(), replay());
    let replayed = [one, other].map(|answer| -> Value { answer.json()["replayed"].clone() });
    let sum: i64 = replayed.iter().filter_map(Value::as_i64).sum();
    assert_eq!(sum, 20, "{replayed:?}");
    for order_no in &order_nos {
        until_paid(shop, order_no).await;
        assert_eq!(attempts(sandbox, order_no), 1, "a replay for the order service tells no merchant again");
    }
}

/// No record says for ever that somebody is at it: a lease ends, and another replica sends under the same `webhook-id`.
async fn an_attempt_that_died_with_its_replica_is_made_by_another(
    pipeline: &mut Pipeline,
    sandbox: &Sandbox,
    shop: &Shop,
    database: &Client,
) {
    for replica in &mut pipeline.notifier[1..] {
        assert_eq!(replica.terminate().await, Some(0));
    }
    sandbox.reply("m1", Reply::Never);
    shop.pay("K-1", AMOUNT_MINOR).await;
    until("attempt that hangs", async || match attempts(sandbox, "K-1") {
        1 => Ok(()),
        other => Err(format!("{other} attempts")),
    })
    .await;
    pipeline.notifier[0].kill();
    sandbox.reply("m1", Reply::Status(204));
    pipeline.notifier[1].start();
    pipeline.notifier[1].ready().await;
    let leased = "SELECT count(*) FROM notify.notifications
        WHERE order_no = 'K-1' AND lease_until BETWEEN now() AND now() + interval '30 seconds'";
    assert_eq!(super::count(database, leased).await, 1, "the lease of the dead has an end");
    // The test need not wait for it.
    let end = "UPDATE notify.notifications SET lease_until = now() WHERE order_no = 'K-1'";
    database.execute(end, &[]).await.expect("valid SQL");

    let delivered =
        "SELECT count(*) FROM notify.notifications WHERE order_no = 'K-1' AND status = 'DELIVERED'";
    until_count(database, delivered, 1).await;
    let sent = sandbox.received_of("K-1");
    assert_eq!(sent.iter().map(Received::is_acknowledged).collect::<Vec<_>>(), [false, true]);
    assert_eq!(sent[0].webhook_id, sent[1].webhook_id);
    assert_eq!(
        super::count(database, "SELECT count(*) FROM notify.notifications WHERE status = 'PENDING'").await,
        0
    );
}
