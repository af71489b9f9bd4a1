//! The servers crash in full flow. Callers repeat what was not answered, as shops and channels do.

use devstack::Stack;
use scenarios::{Load, Options, Pipeline, Sandbox, Servers, check};
use tokio::task::block_in_place;

/// Crashes a server twice while payments go on; `meanwhile` runs while it is away.
async fn survive(crash: impl Fn(&Stack), restart: impl Fn(&Stack), meanwhile: impl AsyncFn(&mut Load)) {
    let sandbox = Sandbox::start().await;
    let pipeline = Pipeline::start(block_in_place(Servers::own), Options::default()).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);

    let mut load = Load::start(&shop);
    for _ in 0..2 {
        load.more(50).await;
        block_in_place(|| crash(pipeline.servers.stack()));
        meanwhile(&mut load).await;
        block_in_place(|| restart(pipeline.servers.stack()));
    }
    load.more(50).await;
    check::settled(&pipeline, &sandbox, &shop, load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_are_taken_while_rabbitmq_is_down_and_told_when_it_is_back() {
    survive(
        |stack| stack.rabbitmq().kill().expect("RabbitMQ is killed"),
        |stack| stack.rabbitmq().start().expect("RabbitMQ starts again"),
        // The ingress goes on accepting without the broker.
        async |load| load.more(30).await,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_postgresql_loses_and_parks_nothing() {
    survive(
        |stack| stack.postgres().kill().expect("PostgreSQL is killed"),
        |stack| stack.postgres().start().expect("PostgreSQL starts again"),
        async |_| {},
    )
    .await;
}
