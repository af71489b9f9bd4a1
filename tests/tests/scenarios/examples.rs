//! The examples for Python, Node, Java and Go, run as their README says, against the real pipeline. Where an interpreter, a
//! compiler or a package is missing, a test says so and is skipped.

mod example;
mod merchants;
mod shapes;

use std::path::Path;
use std::process::{Command, Output};

use devstack::testing::Vhost;
use scenarios::{DEFAULT_MERCHANT, Options, Pipeline, Sandbox, Servers, Shop, until};

use self::example::{Example, Orders};
use crate::upstream::Publisher;

/// What every payment is over.
const AMOUNT_MINOR: i64 = 1999;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

async fn output(mut command: Command) -> Output {
    let run = tokio::task::spawn_blocking(move || command.output());
    run.await.expect("a thread").expect("an interpreter")
}

async fn depth(vhost: &Vhost, queue: &str, expected: u64) {
    until(&format!("{expected} in {queue}"), async || match vhost.queue_depth(queue) {
        Some(depth) if depth == expected => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

/// Consumers of numbers read no protobuf.
async fn start(sandbox: &Sandbox, orders: Orders) -> (Pipeline, Shop) {
    let format = match orders {
        Orders::Events => "protobuf",
        Orders::Numbers => "json",
    };
    let options = Options { environment: vec![("PAYRELAY_EVENT_FORMAT", format)], ..Options::default() };
    let pipeline = Pipeline::start(Servers::shared(), options).await;
    let merchant = pipeline.add_merchant(DEFAULT_MERCHANT, &sandbox.url(DEFAULT_MERCHANT)).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);
    (pipeline, shop)
}

#[tokio::test(flavor = "multi_thread")]
async fn python_publishes_safely_and_consumes_each_event_once() {
    if let Some(example) = Example::python() {
        publishes_safely_and_consumes_each_event_once(example).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn node_publishes_safely_and_consumes_each_event_once() {
    if let Some(example) = Example::node() {
        publishes_safely_and_consumes_each_event_once(example).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn java_publishes_safely_and_consumes_each_event_once() {
    if let Some(example) = Example::java() {
        publishes_safely_and_consumes_each_event_once(example).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn go_publishes_safely_and_consumes_each_event_once() {
    if let Some(example) = Example::go() {
        publishes_safely_and_consumes_each_event_once(example).await;
    }
}

async fn publishes_safely_and_consumes_each_event_once(example: Example) {
    let empty = Vhost::create();
    let nowhere = example.publish(&empty, "10000").await;
    let said = String::from_utf8_lossy(&nowhere.stderr);
    assert!(!nowhere.status.success() && said.contains("not published"), "{nowhere:?}");

    let sandbox = Sandbox::start().await;
    let (pipeline, shop) = start(&sandbox, example.orders).await;
    let vhost = pipeline.servers.vhost();
    let mut consumer = example.consumer(vhost);
    depth(vhost, example.queue, 0).await;

    // Payments of the pipeline, and of the example's own publisher, twice; and another merchant's of the same number.
    shop.pay(&example.order_no("P-1"), AMOUNT_MINOR).await;
    let twin = pipeline.add_merchant("twin", &sandbox.url("twin")).await;
    sandbox.register(&twin);
    pipeline.shop(&twin).pay(&example.order_no("P-1"), AMOUNT_MINOR).await;
    is_published_twice(&example, &shop, &sandbox, vhost).await;
    example.has_sold(2).await;

    let publisher = Publisher::connect(&pipeline).await;
    let shapes = shapes::all_are_taken_and_poison_goes_beside(&example, &shop, &publisher).await;
    shop.pay(&example.order_no("P-2"), AMOUNT_MINOR).await;
    let before = 3 + shapes;
    example.has_sold(before).await;

    // Killed while events come, and away while others do.
    for order in 3..20 {
        if order == 10 {
            scenarios::signal(consumer.pid(), "KILL");
            consumer.ended().await;
        }
        shop.pay(&example.order_no(&format!("P-{order}")), AMOUNT_MINOR).await;
    }
    let _again = example.consumer(vhost);
    example.has_sold(before + 17).await;
    depth(vhost, example.queue, 0).await;
    example.has_sold(before + 17).await;
    assert_eq!(publisher.get(&format!("{}.dlq", example.queue)).await, None);
    refuses_nothing(&pipeline).await;
}

/// What it publishes twice pays the order once.
async fn is_published_twice(example: &Example, shop: &Shop, sandbox: &Sandbox, vhost: &Vhost) {
    let order_no = example.order_no("U-1");
    shop.create_order(&order_no, AMOUNT_MINOR).await;
    for _ in 0..2 {
        let published = example.publish(vhost, &order_no).await;
        assert!(published.status.success(), "{published:?}");
    }
    let order = until(&format!("payment of {order_no}"), async || {
        let order = shop.order(&order_no).await;
        if order["status"] == "PAID" { Ok(order) } else { Err(order.to_string()) }
    })
    .await;
    // Merchants are not notified of bare numbers.
    if example.orders == Orders::Events {
        assert_eq!(order["payment"]["pay_order_no"], format!("UP-{order_no}"), "{order}");
        let received = async || sandbox.received_of(&order_no).pop().ok_or("none".to_owned());
        until(&format!("webhook about {order_no}"), received).await;
    }
}

/// The doctor sees the bindings, and in none of them a queue that could stop everybody's publishes.
async fn refuses_nothing(pipeline: &Pipeline) {
    let answer = pipeline.payrelay(&["doctor", "--json"]).await;
    for code in ["foreign_queue_refuses", "bindings_unseen"] {
        assert!(answer.code.is_some_and(|code| code < 2) && !answer.stdout.contains(code), "{answer:?}");
    }
}
