//! The servers crash in full flow. Callers repeat what was not answered, as shops and channels do.

use std::time::Duration;

use devstack::{Error, Postgres, RabbitMq};
use scenarios::{Load, Options, Pipeline, Sandbox, Servers, Service, check, until};
use tokio::task::block_in_place;

/// Longer than all delays of the retry queues together.
const OUTAGE: Duration = Duration::from_secs(3);

fn rabbitmq(pipeline: &Pipeline, call: fn(&RabbitMq) -> Result<(), Error>) {
    block_in_place(|| call(pipeline.servers.stack().rabbitmq())).expect("RabbitMQ obeys");
}

fn postgres(pipeline: &Pipeline, call: fn(&Postgres) -> Result<(), Error>) {
    block_in_place(|| call(pipeline.servers.stack().postgres())).expect("PostgreSQL obeys");
}

/// Disturbs the pipeline twice, in different ways, while payments go on.
async fn survive(disturb: impl AsyncFn(&Pipeline, &mut Load)) {
    let sandbox = Sandbox::start().await;
    let pipeline = Pipeline::start(block_in_place(Servers::own), Options::default()).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);

    let mut load = Load::start(&shop, "O");
    load.more(50).await;
    disturb(&pipeline, &mut load).await;
    load.more(50).await;
    check::settled(&pipeline, &sandbox, &shop, &load.finish().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_are_taken_while_rabbitmq_is_down_and_told_when_it_is_back() {
    survive(async |pipeline, load| {
        rabbitmq(pipeline, RabbitMq::kill);
        load.more(50).await; // The ingress goes on accepting.
        rabbitmq(pipeline, RabbitMq::start);
        load.more(50).await;
        rabbitmq(pipeline, RabbitMq::stop);
        rabbitmq(pipeline, RabbitMq::start);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_postgresql_loses_and_parks_nothing() {
    survive(async |pipeline, load| {
        postgres(pipeline, Postgres::kill);
        postgres(pipeline, Postgres::start);
        load.more(50).await;
        postgres(pipeline, Postgres::stop);
        tokio::time::sleep(OUTAGE).await;
        postgres(pipeline, Postgres::start);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_stop_start_and_say_that_they_are_not_ready_while_servers_are_away() {
    let sandbox = Sandbox::start().await;
    let mut pipeline = Pipeline::start(block_in_place(Servers::own), Options::default()).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);

    rabbitmq(&pipeline, RabbitMq::kill);
    for service in pipeline.services() {
        assert_eq!(service.terminate().await, Some(0), "without RabbitMQ; log: {}", service.log());
        service.start();
    }
    // What answers requests is ready for these; what has never reached the broker must stop an update.
    for service in [&pipeline.ingress[0], &pipeline.order_service[0]] {
        says(service, 200, "degraded").await;
    }
    not_ready(&pipeline.notifier[0], "rabbitmq").await;
    let mut load = Load::start(&shop, "S");
    load.more(20).await;
    rabbitmq(&pipeline, RabbitMq::start);
    for service in pipeline.services() {
        service.ready().await;
    }
    let mut payments = load.finish().await;
    check::settled(&pipeline, &sandbox, &shop, &payments).await;

    postgres(&pipeline, Postgres::kill);
    for service in pipeline.services() {
        not_ready(service, "postgres").await;
        assert_eq!(service.terminate().await, Some(0), "without PostgreSQL; log: {}", service.log());
        service.start();
        waits_for_postgresql(service).await;
        assert_eq!(service.terminate().await, Some(0), "while it starts; log: {}", service.log());
        service.start();
        waits_for_postgresql(service).await;
    }
    postgres(&pipeline, Postgres::start);
    for service in pipeline.services() {
        service.ready().await;
        let log = service.log();
        // Of each start one line, not one of every try.
        let refused = |line: &&str| line.contains("waiting for the database") && line.contains("refused");
        assert_eq!(log.lines().filter(refused).count(), 2, "{log}");
        assert_eq!(log.matches("the database is available").count(), 1, "{log}");
    }
    let mut load = Load::start(&shop, "T");
    load.more(20).await;
    payments.extend(load.finish().await);
    check::settled(&pipeline, &sandbox, &shop, &payments).await;
}

/// It lives, says so, and takes nothing.
async fn waits_for_postgresql(service: &Service) {
    not_ready(service, "is starting").await;
    let status = async |url: String| {
        let answer = scenarios::http_client().get(url).send().await.expect("an answer");
        answer.status().as_u16()
    };
    assert_eq!(status(format!("{}/healthz", service.admin_url)).await, 200);
    assert_eq!(status(format!("{}/admin/checkup", service.admin_url)).await, 503);
}

/// Waits until the service says that it is not ready, and why.
async fn not_ready(service: &Service, server: &str) {
    says(service, 503, server).await;
}

/// Waits until `/readyz` answers with a status and a word.
async fn says(service: &Service, status: u16, word: &str) {
    let url = format!("{}/readyz", service.admin_url);
    until(&format!("{url} that says {status} and {word}"), async || {
        let answer = scenarios::http_client().get(&url).send().await.map_err(|error| error.to_string())?;
        let (got, body) = (answer.status().as_u16(), answer.text().await.unwrap_or_default());
        if got == status && body.contains(word) { Ok(()) } else { Err(format!("{got} {body}")) }
    })
    .await;
}
