//! Several replicas of every service share the work.

use scenarios::{Load, Options, Pipeline, Sandbox, Servers, Service, check};

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_of_everything_double_nothing() {
    let sandbox = Sandbox::start().await;
    let options = Options { replicas: 2, ..Options::default() };
    let mut pipeline = Pipeline::start(Servers::shared(), options).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);

    let mut load = Load::start(&shop);
    load.more(150).await;
    // Whichever leads the relay goes, and the other takes over.
    for replica in 0..2 {
        let ingress = &mut pipeline.ingress[replica];
        assert_eq!(ingress.terminate().await, Some(0), "log: {}", ingress.log());
        ingress.start();
        ingress.ready().await;
        load.more(50).await;
    }
    check::settled(&pipeline, &sandbox, &shop, load).await;

    // The scenario proves something only if no replica stood idle.
    for consumer in pipeline.order_service.iter().chain(&pipeline.notifier) {
        assert!(handled(consumer).await > 0, "{} handled nothing", consumer.admin_url);
    }
}

/// The messages that a replica has handled, by its own metrics.
async fn handled(service: &Service) -> u64 {
    let answer = scenarios::http_client().get(format!("{}/metrics", service.admin_url)).send().await;
    let text = answer.expect("an answer").text().await.expect("text");
    let counters = text.lines().filter(|line| line.starts_with("payrelay_messages_total{"));
    counters.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}
