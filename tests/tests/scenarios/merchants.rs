//! Merchants that are down or slow, and a notifier that dies while it calls one.

use std::collections::BTreeSet;

use scenarios::{Options, Pipeline, Received, Reply, Sandbox, Servers, Shop, check, until};

/// For each merchant; more than the notifier sends to one merchant at a time.
const ORDERS: usize = 12;

fn order_no(shop: &Shop, order: usize) -> String {
    format!("{}-{order}", shop.merchant.id)
}

/// Waits until `count` attempts about the order have come in.
async fn attempts(sandbox: &Sandbox, order_no: &str, count: usize) -> Vec<Received> {
    until(&format!("{count} attempts about {order_no}"), async || {
        let received = sandbox.received_of(order_no);
        if received.len() >= count { Ok(received) } else { Err(format!("{received:?}")) }
    })
    .await
}

/// All attempts must have been the same webhook.
fn assert_one_webhook(attempts: &[Received]) {
    let ids: BTreeSet<_> = attempts.iter().map(|attempt| &attempt.webhook_id).collect();
    assert_eq!(ids.len(), 1, "{attempts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn merchants_that_are_down_or_slow_hold_nobody_up_and_get_the_same_webhook_in_the_end() {
    let sandbox = Sandbox::start().await;
    let pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let mut shops = Vec::new();
    for id in ["down", "slow", "prompt"] {
        let merchant = pipeline.add_merchant(id, &sandbox.url(id)).await;
        sandbox.register(&merchant);
        shops.push(pipeline.shop(&merchant));
    }
    sandbox.reply("down", Reply::Status(503));
    sandbox.reply("slow", Reply::Never);
    for order in 0..ORDERS {
        for shop in &shops {
            shop.pay(&order_no(shop, order), 1999).await;
        }
    }

    let [down, _, prompt] = &shops[..] else { unreachable!("three shops") };
    attempts(&sandbox, &order_no(down, 0), 2).await;
    for order in 0..ORDERS {
        attempts(&sandbox, &order_no(prompt, order), 1).await;
    }
    let others = sandbox.received().into_iter().filter(|received| received.merchant_id != "prompt");
    assert!(others.into_iter().all(|received| !received.is_acknowledged()), "they would have held nobody up");

    sandbox.reply("down", Reply::Status(204));
    sandbox.reply("slow", Reply::Status(204));
    check::audited(&pipeline).await;
    for shop in &shops {
        for order in 0..ORDERS {
            let received = sandbox.received_of(&order_no(shop, order));
            assert_one_webhook(&received);
            assert_eq!(
                received.iter().filter(|attempt| attempt.is_acknowledged()).count(),
                1,
                "{received:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notifier_killed_in_the_middle_of_an_attempt_repeats_it_under_the_same_id() {
    let sandbox = Sandbox::start().await;
    let mut pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    sandbox.reply("m1", Reply::Never);
    pipeline.shop(&merchant).pay("O-1", 1999).await;

    attempts(&sandbox, "O-1", 1).await;
    pipeline.notifier[0].kill();
    sandbox.reply("m1", Reply::Status(204));
    pipeline.notifier[0].start();
    // Its lease outlives the killed notifier: nobody else may try before it has ended.
    let received = attempts(&sandbox, "O-1", 2).await;
    assert_one_webhook(&received);
    check::audited(&pipeline).await;
    assert_eq!(sandbox.received_of("O-1").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_merchants_are_listed_with_their_endpoints() {
    const MERCHANTS: usize = 101; // more than a listing holds that says nothing of a limit
    let pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let url = |number| format!("https://shop.example/{number}");
    for number in 0..MERCHANTS {
        pipeline.add_merchant(&format!("m{number:03}"), &url(number)).await;
    }
    let listed = pipeline.payrelay_json(&["merchant", "list"]).await;
    let listed = listed.as_array().expect("a list");
    let urls: Vec<_> = listed.iter().map(|merchant| merchant["webhook_url"].as_str()).collect();
    let expected: Vec<_> = (0..MERCHANTS).map(url).collect();
    assert_eq!(urls, expected.iter().map(|url| Some(url.as_str())).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_without_an_endpoint_waits_for_one() {
    let sandbox = Sandbox::start().await;
    let pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let added = pipeline.payrelay_json(&["merchant", "add", "m1"]).await;
    let text = |field: &str| added[field].as_str().expect("a new merchant's").to_owned();
    let key = text("webhook_secret").parse().expect("a webhook secret");
    let merchant = scenarios::Merchant { id: "m1".to_owned(), api_key: text("api_key"), key };
    sandbox.register(&merchant);
    pipeline.shop(&merchant).pay("O-1", 1999).await;

    until("parked notification", async || {
        let audit = pipeline.payrelay(&["audit", "--json"]).await.stdout;
        if audit.contains(r#""parked":1"#) { Ok(()) } else { Err(audit) }
    })
    .await;
    pipeline.payrelay_json(&["merchant", "add", "m1", "--webhook-url", &sandbox.url("m1")]).await;
    attempts(&sandbox, "O-1", 1).await;
    check::audited(&pipeline).await;
}
