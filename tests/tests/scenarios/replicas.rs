//! Several replicas of every service share the work.

use scenarios::{Load, Options, Pipeline, Sandbox, Servers, Service, check, signal, until};

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
    // Whichever leads the relay, or is served first, goes, and the other takes over.
    for replica in 0..2 {
        for services in [&mut pipeline.ingress, &mut pipeline.order_service, &mut pipeline.notifier] {
            let service = &mut services[replica];
            assert_eq!(service.terminate().await, Some(0), "log: {}", service.log());
        }
        pipeline.ingress[replica].start();
        pipeline.ingress[replica].ready().await;
        load.more(50).await;
        for consumers in [&mut pipeline.order_service, &mut pipeline.notifier] {
            let other = &consumers[1 - replica];
            until("message that the other replica has handled", async || {
                if handled(other).await > 0 { Ok(()) } else { Err(other.admin_url.clone()) }
            })
            .await;
            consumers[replica].start();
            consumers[replica].ready().await;
        }
    }
    check::settled(&pipeline, &sandbox, &shop, &load.finish().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_consumers_are_replaced_and_overwrite_nothing_when_they_wake() {
    let sandbox = Sandbox::start().await;
    let options = Options { replicas: 2, ..Options::default() };
    let pipeline = Pipeline::start(Servers::shared(), options).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);

    let mut load = Load::start(&shop, "E");
    load.more(50).await;
    let mut payments = load.finish().await;
    let served = [served_first(&pipeline.order_service).await, served_first(&pipeline.notifier).await];
    let frozen = [&pipeline.order_service[served[0]], &pipeline.notifier[served[1]]];
    for service in frozen {
        signal(service.process().pid(), "STOP");
    }
    let shop = shop.only(1 - served[0]);
    let mut load = Load::start(&shop, "F");
    load.more(50).await;
    payments.extend(load.finish().await);
    // What the frozen ones hold is given to the others: messages once the broker misses their heartbeats, attempts once
    // their leases have ended.
    check::complete(&sandbox, &shop, &payments).await;

    for service in frozen {
        signal(service.process().pid(), "CONT");
    }
    let mut load = Load::start(&shop, "G");
    load.more(50).await;
    payments.extend(load.finish().await);
    for service in frozen {
        service.ready().await;
    }
    check::settled(&pipeline, &sandbox, &shop, &payments).await;
}

/// The index of that of two replicas which the broker gives most of 50 messages and more to.
async fn served_first(replicas: &[Service]) -> usize {
    until("replica that is served first", async || {
        let [one, other] = [handled(&replicas[0]).await, handled(&replicas[1]).await];
        if one + other < 50 || one == other {
            return Err(format!("{one} and {other} messages handled"));
        }
        Ok(usize::from(other > one))
    })
    .await
}

/// The successes that a replica has handled, by its own metrics.
async fn handled(service: &Service) -> u64 {
    let answer = scenarios::http_client().get(format!("{}/metrics", service.admin_url)).send().await;
    let text = answer.expect("an answer").text().await.expect("text");
    let counters = text
        .lines()
        .filter(|line| line.starts_with("payrelay_messages_total{") && line.contains(".pay.success.queue"));
    counters.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}
