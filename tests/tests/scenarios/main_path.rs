//! One payment, from the callback to the paid order and the notified merchant, and what an operator sees of it.

use channels::standard::Kind;
use scenarios::{Options, Pipeline, Sandbox, Servers, check, until};
use serde_json::{Value, json};

/// The trace that the channel is in when it calls.
const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_pays_the_order_and_notifies_the_merchant() {
    let sandbox = Sandbox::start().await;
    let pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);

    shop.create_order("O-1", 1999).await;
    let more = json!({"attach": "what the merchant attached"});
    let pay_order_no = shop.create_pay_order_with("O-1", 1999, &more).await;
    assert_eq!(shop.order("O-1").await["status"], "AWAITING_PAYMENT");
    assert_eq!(shop.pay_order(&pay_order_no).await["status"], "WAIT_BUYER_PAY");

    let success = shop.notice(Kind::PaymentSucceeded, &pay_order_no, 1999);
    let callback =
        shop.callback(&success).header("traceparent", format!("00-{TRACE_ID}-b7ad6b7169203331-01"));
    assert_eq!(callback.send().await.expect("an answer").status(), 204);
    assert_eq!(shop.tell(&success).await, 204, "a repeated callback gets the same answer");
    assert_eq!(shop.pay_order(&pay_order_no).await["status"], "TRADE_SUCCESS");

    let order = until("paid order", async || {
        let order = shop.order("O-1").await;
        if order["status"] == "PAID" { Ok(order) } else { Err(order.to_string()) }
    })
    .await;
    assert_eq!(order["payment"]["pay_order_no"], pay_order_no.as_str());
    assert_eq!(order["payment"]["channel_trade_no"], format!("T-{pay_order_no}"));
    let parts: Vec<_> = order["sub_orders"].as_array().expect("sub-orders").iter().collect();
    assert_eq!(parts.len(), 2, "one for each shop: {order}");

    let webhook = until("webhook", async || sandbox.received().pop().ok_or("none".to_owned())).await;
    assert_eq!((webhook.event_type(), webhook.order_no()), ("pay.success", "O-1"));
    assert_eq!(webhook.body["data"]["attach"], more["attach"]);
    assert_eq!(webhook.body["data"]["status"], "TRADE_SUCCESS");
    assert_eq!(
        webhook.traceparent.split('-').nth(1),
        Some(TRACE_ID),
        "one trace from the channel to the merchant"
    );

    let audit = check::audited(&pipeline).await;
    let row = &audit["rows"][0];
    assert_eq!(row["type"], "pay.success");
    for stage in ["committed", "published", "applied", "notified"] {
        assert_eq!(row[stage], 1, "{stage} in {audit}");
    }
    assert_eq!(sandbox.received().len(), 1, "one webhook for two callbacks");
    assert_eq!(pipeline.payrelay_json(&["contradictions", "list"]).await, json!([]));
    assert_traced(&pipeline.payrelay_json(&["trace", "O-1"]).await);

    let unknown = pipeline.payrelay(&["trace", "O-2"]).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.stderr.contains("O-2"), "{unknown:?}");
}

/// All three services tell their part, in the order of time.
fn assert_traced(trace: &Value) {
    let steps = trace["steps"].as_array().expect("steps");
    let times: Vec<_> = steps.iter().map(|step| step["at"].as_str().expect("a time")).collect();
    assert!(times.is_sorted(), "{trace}");
    let first_of = |service: &str, step: &str| {
        let found = steps.iter().position(|seen| seen["service"] == service && seen["step"] == step);
        found.unwrap_or_else(|| panic!("{step} of {service} in {trace}"))
    };
    let created = first_of("ingress", "pay_order_created");
    let committed = first_of("ingress", "event_committed");
    let handled = first_of("order-service", "event_handled");
    let notified = first_of("merchant-notifier", "notification_created");
    let attempted = first_of("merchant-notifier", "webhook_attempt");
    assert!(
        created < committed && committed < handled && committed < notified && notified < attempted,
        "{trace}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn adding_a_merchant_again_keeps_its_keys_to_itself() {
    let pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    pipeline.add_merchant("m1", "http://127.0.0.1:9/old").await;
    let again = ["merchant", "add", "m1", "--webhook-url", "http://127.0.0.1:9/new"];
    let again = pipeline.payrelay_json(&again).await;
    assert_eq!((&again["api_key"], &again["webhook_secret"]), (&Value::Null, &Value::Null), "{again}");
    let shown = pipeline.payrelay_json(&["merchant", "show", "m1"]).await;
    assert_eq!(shown["webhook_url"], "http://127.0.0.1:9/new");
    let listed = pipeline.payrelay_json(&["merchant", "list"]).await;
    assert_eq!(listed.as_array().expect("a list").len(), 1, "{listed}");
    let unknown = pipeline.payrelay(&["merchant", "show", "m2"]).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
}
