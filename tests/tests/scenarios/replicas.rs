//! Several replicas of every service share the work.

use scenarios::{Load, Options, Pipeline, Sandbox, Servers, Service, check, signal};

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_of_everything_double_nothing() {
    let sandbox = Sandbox::start().await;
    let options = Options { replicas: 2, ..Options::default() };
    let mut pipeline = Pipeline::start(Servers::shared(), options).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);

    let mut load = Load::start(&shop, "R");
    load.more(150).await;
    // Whichever leads the relay goes, and the other takes over.
    for replica in 0..2 {
        let ingress = &mut pipeline.ingress[replica];
        assert_eq!(ingress.terminate().await, Some(0), "log: {}", ingress.log());
        ingress.start();
        ingress.ready().await;
        load.more(50).await;
    }
    check::settled(&pipeline, &sandbox, &shop, &load.finish().await).await;

    // The scenario proves something only if no replica stood idle.
    for consumer in pipeline.order_service.iter().chain(&pipeline.notifier) {
        assert!(handled(consumer).await > 0, "{} handled nothing", consumer.admin_url);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_consumers_are_replaced_and_overwrite_nothing_when_they_wake() {
    let sandbox = Sandbox::start().await;
    let options = Options { replicas: 2, ..Options::default() };
    let pipeline = Pipeline::start(Servers::shared(), options).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant).only(0);
    let frozen = [&pipeline.order_service[1], &pipeline.notifier[1]].map(|service| service.process().pid());

    let mut load = Load::start(&shop, "F");
    load.more(50).await;
    for pid in frozen {
        signal(pid, "STOP");
    }
    load.more(50).await;
    let mut payments = load.finish().await;
    // What the frozen ones hold is given to the others: messages once the broker misses their heartbeats, attempts once
    // their leases have ended.
    check::complete(&sandbox, &shop, &payments).await;

    for pid in frozen {
        signal(pid, "CONT");
    }
    let mut load = Load::start(&shop, "G");
    load.more(50).await;
    payments.extend(load.finish().await);
    for consumer in [&pipeline.order_service[1], &pipeline.notifier[1]] {
        consumer.ready().await;
    }
    check::settled(&pipeline, &sandbox, &shop, &payments).await;
}

/// The messages that a replica has handled, by its own metrics.
async fn handled(service: &Service) -> u64 {
    let answer = scenarios::http_client().get(format!("{}/metrics", service.admin_url)).send().await;
    let text = answer.expect("an answer").text().await.expect("text");
    let counters = text.lines().filter(|line| line.starts_with("payrelay_messages_total{"));
    counters.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}
