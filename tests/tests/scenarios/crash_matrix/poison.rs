//! A message that kills the order service every time.

use channels::standard::Kind;
use futures_util::{StreamExt, stream};
use scenarios::{Options, Payment, Pipeline, Sandbox, Servers, Shop, check, run_program, until};
use serde_json::json;

use super::stage::dead_letters;

const QUEUE: &str = "trade.pay.success.queue";
const KILLER: &str = "KILLER";
const NEIGHBOURS: usize = 600;
/// Of the neighbours, those that are published before it.
const BEFORE: usize = 300;
/// Requests at a time.
const REQUESTS: usize = 8;
const AMOUNT_MINOR: i64 = 1999;
/// What the queue's delivery limit allows, and the one that exceeds it.
const MAX_DEATHS: usize = 21;
/// Of them, those of which it must have been the cause.
const MIN_DEATHS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_kills_the_process_every_time_is_dead_lettered_and_no_neighbour_is() {
    let sandbox = Sandbox::start().await;
    let mut pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);
    let mut order_nos: Vec<_> = (1..=NEIGHBOURS).map(|neighbour| format!("N-{neighbour}")).collect();
    order_nos.insert(BEFORE, KILLER.to_owned());
    each(&order_nos, |order_no| {
        let shop = &shop;
        async move { shop.create_order(&order_no, AMOUNT_MINOR).await }
    })
    .await;

    // All are there before the first is delivered.
    assert_eq!(pipeline.order_service[0].terminate().await, Some(0));
    let (before, after) = order_nos.split_at(BEFORE);
    let mut payments = pay(&shop, before).await;
    payments.extend(pay(&shop, after).await);
    until("full queue", async || match pipeline.servers.vhost().queue_depth(QUEUE) {
        Some(depth) if depth == payments.len() as u64 => Ok(()),
        depth => Err(format!("{depth:?} messages")),
    })
    .await;
    die_until_it_is_dead(&mut pipeline).await;

    let (sound, killer): (Vec<_>, Vec<_>) =
        payments.iter().cloned().partition(|payment| payment.order_no != KILLER);
    check::complete(&sandbox, &shop, &sound).await;
    let dead = dead_letters(&pipeline, QUEUE).await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(
        (&dead[0]["reason"], &dead[0]["event"]["orderNo"]),
        (&json!("delivery_limit"), &json!(KILLER)),
        "{}",
        dead[0]
    );
    assert_eq!(shop.order(KILLER).await["status"], "AWAITING_PAYMENT");

    // A program that is mended takes it when an operator sends it again.
    let service = &mut pipeline.order_service[0];
    assert_eq!(service.terminate().await, Some(0), "log: {}", service.log());
    service.start();
    service.ready().await;
    let environment = [("PAYRELAY_AMQP_URL", &*pipeline.servers.amqp_url())];
    let replay = ["dlq", "replay", QUEUE, "--reason", "delivery_limit", "--json"];
    assert_eq!(run_program("payrelay", &replay, &environment).await.json()["replayed"], 1);
    check::complete(&sandbox, &shop, &killer).await;
    check::settled(&pipeline, &sandbox, &shop, &payments).await;
}

/// Starts the order service again and again, until the broker gives the killer up. The last one lives.
async fn die_until_it_is_dead(pipeline: &mut Pipeline) {
    let failpoint = format!("orders::handle {KILLER}=return");
    for deaths in 0.. {
        assert!(deaths <= MAX_DEATHS, "{deaths} deaths");
        pipeline.order_service[0].start_armed(&failpoint).await;
        let is_dead = until("death of the process or of its message", async || {
            if pipeline.order_service[0].exited().is_some() {
                return Ok(false);
            }
            match pipeline.servers.vhost().queue_depth(&format!("{QUEUE}.dlq")) {
                Some(1..) => Ok(true),
                _ => Err("the process lives, and nothing is dead-lettered".to_owned()),
            }
        })
        .await;
        if is_dead {
            assert!(deaths >= MIN_DEATHS, "{deaths} deaths: the delivery limit is the backstop");
            return;
        }
        pipeline.order_service[0].aborted().await;
    }
}

/// Pays these orders, some at a time.
async fn pay(shop: &Shop, order_nos: &[String]) -> Vec<Payment> {
    each(order_nos, |order_no| async move {
        let pay_order_no = shop.create_pay_order(&order_no, AMOUNT_MINOR).await;
        shop.tell_until_taken(&shop.notice(Kind::PaymentSucceeded, &pay_order_no, AMOUNT_MINOR)).await;
        Payment { order_no, pay_order_no, amount_minor: AMOUNT_MINOR, refunded_minor: 0 }
    })
    .await
}

async fn each<T, F: Future<Output = T>>(order_nos: &[String], request: impl Fn(String) -> F) -> Vec<T> {
    stream::iter(order_nos.iter().cloned().map(request)).buffered(REQUESTS).collect().await
}
