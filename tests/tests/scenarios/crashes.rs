//! Services are stopped and killed in full flow: nothing is lost, nothing is doubled.

use scenarios::{Load, Options, Payment, Pipeline, Sandbox, Servers, Service, check};

/// Payments made before and after each disturbance.
const BETWEEN: usize = 40;

type Select = fn(&mut Pipeline) -> &mut Service;

const SERVICES: [(&str, Select); 3] = [
    ("ingress", |pipeline| &mut pipeline.ingress[0]),
    ("order-service", |pipeline| &mut pipeline.order_service[0]),
    ("merchant-notifier", |pipeline| &mut pipeline.notifier[0]),
];

/// Disturbs every service in turn, while payments go on.
async fn disturb_each(disturb: impl AsyncFn(&mut Service, &str)) -> Vec<Payment> {
    let sandbox = Sandbox::start().await;
    let mut pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);

    let mut load = Load::start(&shop, "C");
    for (name, select) in SERVICES {
        load.more(BETWEEN).await;
        let service = select(&mut pipeline);
        disturb(service, name).await;
        service.start();
        service.ready().await;
    }
    load.more(BETWEEN).await;
    let payments = load.finish().await;
    check::settled(&pipeline, &sandbox, &shop, &payments).await;
    payments
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_in_full_flow_drains_every_service() {
    let payments = disturb_each(async |service, name| {
        assert_eq!(service.terminate().await, Some(0), "exit code of {name}; log: {}", service.log());
    })
    .await;
    assert!(payments.len() >= 4 * BETWEEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigkill_in_full_flow_costs_no_service_anything() {
    let payments = disturb_each(async |service, _| service.kill()).await;
    assert!(payments.len() >= 4 * BETWEEN);
}
