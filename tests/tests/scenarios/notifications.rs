//! What an operator does about notifications that were given up, and about merchants.

use std::collections::BTreeSet;

use scenarios::{Options, Pipeline, Received, Reply, Sandbox, Servers, Shop, check, until};
use serde_json::{Value, json};

const ORDERS: usize = 3;

/// A pipeline whose merchants have two attempts, the second at once.
async fn start(sandbox: &Sandbox, merchants: &[&str]) -> (Pipeline, Vec<Shop>) {
    let environment = vec![("PAYRELAY_NOTIFY_LADDER", "100ms")];
    let pipeline = Pipeline::start(Servers::shared(), Options { environment, ..Options::default() }).await;
    let mut shops = Vec::new();
    for id in merchants {
        let merchant = pipeline.add_merchant(id, &sandbox.url(id)).await;
        sandbox.register(&merchant);
        shops.push(pipeline.shop(&merchant));
    }
    (pipeline, shops)
}

/// Waits until so many notifications are listed by these filters.
async fn listed(pipeline: &Pipeline, filters: &[&str], count: usize) -> Vec<Value> {
    let arguments = [&["notifications", "list"], filters].concat();
    until(&format!("{count} by {filters:?}"), async || {
        let found = pipeline.payrelay_json(&arguments).await;
        let found = found.as_array().expect("a list").clone();
        if found.len() == count { Ok(found) } else { Err(format!("{found:?}")) }
    })
    .await
}

async fn retry(pipeline: &Pipeline, arguments: &[&str]) -> Value {
    pipeline.payrelay_json(&[&["notifications", "retry"], arguments].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_retried_once_and_never_what_was_delivered() {
    let sandbox = Sandbox::start().await;
    let (pipeline, shops) = start(&sandbox, &["down", "also-down"]).await;
    for shop in &shops {
        sandbox.reply(&shop.merchant.id, Reply::Status(503));
        for order in 0..ORDERS {
            shop.pay(&format!("{}-{order}", shop.merchant.id), 1999).await;
        }
    }
    let parked = listed(&pipeline, &["--merchant", "down", "--status", "attempts_exhausted"], ORDERS).await;
    listed(&pipeline, &["--merchant", "also-down", "--status", "parked"], ORDERS).await;
    let id = parked[0]["notification_id"].as_str().expect("an id");
    let shown = pipeline.payrelay_json(&["notifications", "show", id]).await;
    let statuses: Vec<_> =
        shown["history"].as_array().expect("attempts").iter().map(|made| &made["http_status"]).collect();
    assert_eq!(statuses, [503, 503]);
    let told = pipeline.payrelay(&["notifications", "show", id]).await.stdout;
    assert!(told.contains("attempts_exhausted") && told.contains("503"), "{told}");

    // Nobody is asked where there is no terminal, and nothing is done without an answer.
    let asked = pipeline.payrelay(&["notifications", "retry", "--merchant", "down"]).await;
    assert_eq!(asked.code, Some(2), "{asked:?}");
    assert!(asked.stderr.contains("3 to retry") && asked.stderr.contains("--yes"), "{asked:?}");
    let before = sandbox.received().len();
    sandbox.reply("down", Reply::Status(204));
    let one = retry(&pipeline, &[id, "--yes"]).await;
    assert_eq!(one, json!({ "found": 1, "retried": 1, "held": 0 }));
    listed(&pipeline, &["--merchant", "down", "--status", "delivered"], 1).await;
    let rest = ["--merchant", "down", "--since", "1h", "--rate", "20/s", "--yes"];
    assert_eq!(retry(&pipeline, &rest).await["retried"], ORDERS - 1);
    let delivered = listed(&pipeline, &["--merchant", "down", "--status", "delivered"], ORDERS).await;

    for again in [&rest[..], &[id, "--yes"]] {
        assert_eq!(retry(&pipeline, again).await, json!({ "found": 0, "retried": 0, "held": 0 }));
    }
    assert_eq!(sandbox.received().len() - before, ORDERS, "the other merchant was not asked for");
    for notification in delivered {
        let order_no = notification["order_no"].as_str().expect("an order number");
        let attempts = sandbox.received_of(order_no);
        assert_eq!(attempts.iter().map(Received::is_acknowledged).collect::<Vec<_>>(), [false, false, true]);
        let ids: BTreeSet<_> = attempts.iter().map(|attempt| attempt.webhook_id.as_str()).collect();
        assert_eq!(ids, BTreeSet::from([notification["notification_id"].as_str().expect("an id")]));
    }

    sandbox.reply("also-down", Reply::Status(204));
    assert_eq!(retry(&pipeline, &["--yes"]).await["retried"], ORDERS);
    check::audited(&pipeline).await;
    assert_eq!(sandbox.received().len() - before, 2 * ORDERS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_merchant_makes_no_pay_orders_and_hears_of_its_payments_once_enabled() {
    let sandbox = Sandbox::start().await;
    let (pipeline, shops) = start(&sandbox, &["m1"]).await;
    let shop = &shops[0];
    let pay_order_no = shop.create_pay_order("O-1", 1999).await;
    let disabled = pipeline.payrelay_json(&["merchant", "disable", "m1"]).await;
    assert_eq!([&disabled["enabled"], &disabled["webhooks_enabled"]], [&json!(false), &json!(false)]);
    until("refused key", async || {
        let request = shop.http.get(shop.ingress(&format!("/v1/pay-orders/{pay_order_no}")));
        let status = request.bearer_auth(&shop.merchant.api_key).send().await.expect("an answer").status();
        if status == 403 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    // What the buyer pays is taken all the same.
    shop.create_order("O-1", 1999).await;
    let success = shop.notice(channels::standard::Kind::PaymentSucceeded, &pay_order_no, 1999);
    assert_eq!(shop.tell(&success).await, 204);
    listed(&pipeline, &["--status", "endpoint_disabled"], 1).await;
    let held = retry(&pipeline, &["--yes"]).await;
    assert_eq!(held, json!({ "found": 0, "retried": 0, "held": 1 }));

    pipeline.payrelay_json(&["merchant", "enable", "m1"]).await;
    listed(&pipeline, &["--status", "delivered"], 1).await;
    assert_eq!(sandbox.received().len(), 1);
    let unknown = pipeline.payrelay(&["merchant", "disable", "m2"]).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert_eq!(pipeline.payrelay_json(&["merchant", "list"]).await.as_array().expect("a list").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_api_key_works_beside_the_earlier_one() {
    let sandbox = Sandbox::start().await;
    let (pipeline, shops) = start(&sandbox, &["m1"]).await;
    let rotated = pipeline.payrelay_json(&["merchant", "rotate-key", "m1"]).await;
    let mut merchant = shops[0].merchant.clone();
    merchant.api_key = rotated["api_key"].as_str().expect("a key").to_owned();
    shops[0].create_pay_order("O-1", 1999).await;
    pipeline.shop(&merchant).create_pay_order("O-2", 1999).await;

    pipeline.payrelay_json(&["merchant", "rotate-key", "m1", "--overlap", "0s"]).await;
    until("refused keys", async || {
        let mut statuses = BTreeSet::new();
        for key in [&shops[0].merchant.api_key, &merchant.api_key] {
            let request = shops[0].http.get(shops[0].ingress("/v1/pay-orders?order_no=O-1"));
            statuses.insert(request.bearer_auth(key).send().await.expect("an answer").status().as_u16());
        }
        if statuses == BTreeSet::from([401]) { Ok(()) } else { Err(format!("{statuses:?}")) }
    })
    .await;
    for arguments in [["m1", "--overlap", "1w"], ["m1", "--overlap", "24"]] {
        let wrong = pipeline.payrelay(&[&["merchant", "rotate-key"], &arguments[..]].concat()).await;
        assert_eq!(wrong.code, Some(2), "{wrong:?}");
    }
}
