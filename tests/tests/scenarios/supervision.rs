//! A background task that panics ends its service with an error that names it. A service that goes on without one of its tasks
//! looks healthy and does nothing.

use channels::standard::Kind;
use scenarios::{Options, Pipeline, Received, Reply, Sandbox, Servers, Service, Shop, http_client, until};
use serde_json::Value;

/// What the failpoints panic with.
const WORDS: &str = "no ink";

/// A pipeline with one merchant.
struct World {
    pipeline: Pipeline,
    shop: Shop,
    sandbox: Sandbox,
}

impl World {
    async fn start() -> Self {
        let sandbox = Sandbox::start().await;
        let pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
        let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
        sandbox.register(&merchant);
        Self { shop: pipeline.shop(&merchant), pipeline, sandbox }
    }
}

/// Starts the service again with this failpoint armed.
async fn arm(service: &mut Service, failpoint: &str) {
    service.ready().await;
    assert_eq!(service.terminate().await, Some(0), "log: {}", service.log());
    service.start_armed(failpoint).await;
    service.ready().await;
}

/// Waits for the end of the service, which must be an error that names the task.
async fn failed(service: &mut Service, task: &str) {
    assert_eq!(service.ended().await, Some(1), "exit code; log: {}", service.log());
    let log = service.log();
    let last = log.lines().last().unwrap_or_default();
    assert!(last.contains(&format!("the task \"{task}\" panicked: ")), "{last}");
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let panics: Vec<_> = lines.filter(|line| line["message"] == "panicked").collect();
    let told = panics.iter().any(|line| {
        line["level"] == "ERROR"
            && line["panic"].as_str().is_some_and(|panic| panic.contains(WORDS))
            && line["location"].is_string()
    });
    assert!(told, "{panics:?}");
    let answer = http_client().get(format!("{}/readyz", service.admin_url)).send().await;
    assert!(answer.is_err_and(|error| error.is_connect()), "somebody answers for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ingress_ends_when_its_relay_or_its_publisher_panics() {
    let World { mut pipeline, shop, sandbox } = World::start().await;
    for (point, task) in [("relay::after_read", "relay 0"), ("publisher::after_publish", "publisher 0")] {
        let pay_order_no = shop.create_pay_order(point, 100).await;
        arm(&mut pipeline.ingress[0], &format!("{point}=panic({WORDS})")).await;
        let answer = shop.callback(&shop.notice(Kind::PaymentSucceeded, &pay_order_no, 100)).send().await;
        assert!(answer.is_ok_and(|answer| answer.status().is_success()), "what is committed is answered");
        failed(&mut pipeline.ingress[0], task).await;
        pipeline.ingress[0].start();
        pipeline.ingress[0].ready().await;
        shop.create_order(point, 100).await;
        until("webhook that was left in the outbox", async || {
            if sandbox.received_of(point).is_empty() { Err(String::new()) } else { Ok(()) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_service_ends_when_a_consumer_or_its_publisher_of_copies_panics() {
    let World { mut pipeline, shop, .. } = World::start().await;
    // An order that is paid before it is known is a copy in a retry queue.
    for (point, is_known) in [("consumer::before_ack", true), ("publisher::before_publish", false)] {
        arm(&mut pipeline.order_service[0], &format!("{point}=panic({WORDS})")).await;
        if is_known {
            shop.create_order(point, 100).await;
        }
        let pay_order_no = shop.create_pay_order(point, 100).await;
        shop.tell_until_taken(&shop.notice(Kind::PaymentSucceeded, &pay_order_no, 100)).await;
        failed(&mut pipeline.order_service[0], "consumer of trade.pay.success.queue").await;
        pipeline.order_service[0].start();
        shop.create_order(point, 100).await;
        until("paid order", async || match shop.order(point).await {
            order if order["status"] == "PAID" => Ok(()),
            order => Err(order.to_string()),
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_notifier_ends_when_its_dispatcher_or_an_attempt_panics() {
    let World { mut pipeline, shop, sandbox } = World::start().await;
    let acknowledged = async |order_no: &str| {
        until("acknowledged webhook", async || match sandbox.received_of(order_no) {
            received if received.iter().any(Received::is_acknowledged) => Ok(()),
            received => Err(format!("{received:?}")),
        })
        .await;
    };
    // What is new needs no claim; what has failed does.
    for (point, reply) in [("attempts::after_claim", 503), ("attempts::before_record", 204)] {
        arm(&mut pipeline.notifier[0], &format!("{point}=panic({WORDS})")).await;
        sandbox.reply("m1", Reply::Status(reply));
        shop.pay(point, 100).await;
        failed(&mut pipeline.notifier[0], "dispatcher").await;
        sandbox.reply("m1", Reply::Status(204));
        pipeline.notifier[0].start();
        acknowledged(point).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_that_makes_the_notifier_panic_fails_alone() {
    let World { mut pipeline, shop, sandbox } = World::start().await;
    arm(&mut pipeline.notifier[0], &format!("attempts::exchange=1*panic({WORDS})->off")).await;
    shop.pay("1", 100).await;
    until("webhook of the second attempt", async || match sandbox.received_of("1") {
        received if received.iter().any(Received::is_acknowledged) => Ok(()),
        received => Err(format!("{received:?}")),
    })
    .await;
    let service = &mut pipeline.notifier[0];
    let log = service.log();
    assert!(log.contains("\"error\":\"internal\""), "{log}");
    assert_eq!(service.terminate().await, Some(0), "log: {log}");
}
