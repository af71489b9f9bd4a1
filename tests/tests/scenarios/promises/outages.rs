//! The servers go away at the worst moments.

use devstack::{Error, Postgres, RabbitMq};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use scenarios::{Options, Payment, Pipeline, Reply, Sandbox, Servers, Shop, check, until};
use tokio::task::block_in_place;

use super::{AMOUNT_MINOR, answered, attempts, channel};

fn rabbitmq(pipeline: &Pipeline, call: fn(&RabbitMq) -> Result<(), Error>) {
    block_in_place(|| call(pipeline.servers.stack().rabbitmq())).expect("RabbitMQ obeys");
}

fn postgres(pipeline: &Pipeline, call: fn(&Postgres) -> Result<(), Error>) {
    block_in_place(|| call(pipeline.servers.stack().postgres())).expect("PostgreSQL obeys");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_arrives_and_what_waits_goes_on_by_itself_after_outages() {
    let sandbox = Sandbox::start().await;
    let environment = vec![
        ("PAYRELAY_RETRY_DELAYS", "3s,4s,5s,6s,20s"),
        ("PAYRELAY_NOTIFY_LADDER", "500ms,6s,6s,6s,6s,6s"),
    ];
    let options = Options { environment, ..Options::default() };
    let mut pipeline = Pipeline::start(block_in_place(Servers::own), options).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);

    let first =
        a_crash_between_commit_and_publish_leaves_nothing_untold(&mut pipeline, &sandbox, &shop).await;
    retries_that_wait_survive_restarts_of_both_servers(&pipeline, &sandbox, &shop, first).await;
}

/// A success is answered once it is committed, whatever becomes of RabbitMQ and of the ingress afterwards: the event is in the
/// outbox, and the next ingress publishes it, once in effect.
async fn a_crash_between_commit_and_publish_leaves_nothing_untold(
    pipeline: &mut Pipeline,
    sandbox: &Sandbox,
    shop: &Shop,
) -> Payment {
    rabbitmq(pipeline, RabbitMq::kill);
    shop.create_order("A-1", AMOUNT_MINOR).await;
    let payment = answered(shop, "A-1").await;
    pipeline.ingress[0].kill();
    rabbitmq(pipeline, RabbitMq::start);
    pipeline.ingress[0].start();
    check::settled(pipeline, sandbox, shop, std::slice::from_ref(&payment)).await;
    assert_eq!(attempts(sandbox, "A-1"), 1);
    payment
}

/// A message in a retry queue and a webhook between two attempts need nobody to wake them after their server was restarted.
async fn retries_that_wait_survive_restarts_of_both_servers(
    pipeline: &Pipeline,
    sandbox: &Sandbox,
    shop: &Shop,
    first: Payment,
) {
    sandbox.reply("m1", Reply::Status(503));
    let second = answered(shop, "A-2").await;
    let (_connection, channel) = channel(pipeline).await;
    until("message that waits for a retry", async || {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare("pay.retry.3s".into(), passive, FieldTable::default()).await;
        let depth = declared.map_err(|error| error.to_string())?.message_count();
        if depth == 1 { Ok(()) } else { Err(depth.to_string()) }
    })
    .await;
    until("webhook that waits for a retry", async || match attempts(sandbox, "A-2") {
        0 | 1 => Err("no second attempt".to_owned()),
        _ => Ok(()),
    })
    .await;
    rabbitmq(pipeline, RabbitMq::stop);
    postgres(pipeline, Postgres::stop);
    rabbitmq(pipeline, RabbitMq::start);
    postgres(pipeline, Postgres::start);
    shop.create_order("A-2", AMOUNT_MINOR).await;
    sandbox.reply("m1", Reply::Status(204));
    check::settled(pipeline, sandbox, shop, &[first, second]).await;
}
