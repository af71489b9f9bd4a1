//! What a channel says and cannot be true is answered as a failure, recorded, and changes nothing.

use channels::standard::Kind;
use scenarios::{Options, Pipeline, Sandbox, Servers, Shop, check, until};
use serde_json::{Value, json};

async fn start(sandbox: &Sandbox) -> (Pipeline, Shop) {
    // The grace is short, so that a close comes soon.
    let environment = vec![("PAYRELAY_CLOSE_GRACE_SECONDS", "1")];
    let pipeline = Pipeline::start(Servers::shared(), Options { environment, ..Options::default() }).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);
    (pipeline, shop)
}

/// The contradictions listed, as reason and times seen, for one pay order.
async fn listed(pipeline: &Pipeline, pay_order_no: &str) -> Vec<(String, Value)> {
    let all = pipeline.payrelay_json(&["contradictions", "list"]).await;
    let all = all.as_array().expect("a list").iter().filter(|row| row["pay_order_no"] == pay_order_no);
    all.map(|row| (row["reason"].as_str().expect("a reason").to_owned(), row["count"].clone())).collect()
}

async fn closed(shop: &Shop, pay_order_no: &str) {
    until("closed pay order", async || {
        let pay_order = shop.pay_order(pay_order_no).await;
        if pay_order["status"] == "TRADE_CLOSED" { Ok(()) } else { Err(pay_order.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_amount_pays_nothing_and_a_second_trade_pays_nothing_twice() {
    let sandbox = Sandbox::start().await;
    let (pipeline, shop) = start(&sandbox).await;
    shop.create_order("O-1", 1999).await;
    let pay_order_no = shop.create_pay_order("O-1", 1999).await;

    let wrong = shop.notice(Kind::PaymentSucceeded, &pay_order_no, 1998);
    assert_eq!([shop.tell(&wrong).await, shop.tell(&wrong).await], [409, 409]);
    assert_eq!(shop.pay_order(&pay_order_no).await["status"], "WAIT_BUYER_PAY");
    assert_eq!(shop.order("O-1").await["status"], "AWAITING_PAYMENT");
    assert_eq!(listed(&pipeline, &pay_order_no).await, [("amount_mismatch".to_owned(), json!(2))]);

    let right = shop.notice(Kind::PaymentSucceeded, &pay_order_no, 1999);
    assert_eq!(shop.tell(&right).await, 204);
    let mut second = right.clone();
    second.channel_trade_no = "another-trade".to_owned();
    assert_eq!(shop.tell(&second).await, 409);
    let reasons = listed(&pipeline, &pay_order_no).await;
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons.contains(&("second_trade".to_owned(), json!(1))), "{reasons:?}");

    let mut too_much = shop.notice(Kind::RefundSucceeded, &pay_order_no, 1999);
    too_much.refunded_minor = Some(2000);
    assert_eq!(shop.tell(&too_much).await, 409);

    check::audited(&pipeline).await;
    assert_eq!(shop.order("O-1").await["payment"]["channel_trade_no"], format!("T-{pay_order_no}"));
    assert_eq!(sandbox.received().len(), 1, "one webhook: {:?}", sandbox.received());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_after_the_close_is_a_contradiction_and_another_pay_order_pays() {
    let sandbox = Sandbox::start().await;
    let (pipeline, shop) = start(&sandbox).await;
    shop.create_order("O-1", 1999).await;
    let first = shop.create_pay_order("O-1", 1999).await;
    let path = format!("/v1/pay-orders/{first}/close");
    let close = shop.http.post(shop.ingress(&path)).bearer_auth(&shop.merchant.api_key).send().await;
    assert_eq!(close.expect("an answer").status(), 200);
    closed(&shop, &first).await;
    assert_eq!(shop.tell(&shop.notice(Kind::PaymentSucceeded, &first, 1999)).await, 409);
    assert_eq!(listed(&pipeline, &first).await[0].0, "success_after_close");

    let expiring = json!({"expires_in_seconds": 1});
    let second = shop.create_pay_order_with("O-1", 1999, &expiring).await;
    assert_ne!(second, first);
    closed(&shop, &second).await;

    let third = shop.create_pay_order("O-1", 1999).await;
    assert_eq!(shop.tell(&shop.notice(Kind::PaymentSucceeded, &third, 1999)).await, 204);
    check::audited(&pipeline).await;
    let order = shop.order("O-1").await;
    assert_eq!(
        (&order["status"], &order["payment"]["pay_order_no"]),
        (&json!("PAID"), &json!(third)),
        "{order}"
    );
    let mut told: Vec<_> =
        sandbox.received().iter().map(|received| received.event_type().to_owned()).collect();
    told.sort();
    assert_eq!(told, ["pay.closed", "pay.closed", "pay.success"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_that_cannot_be_believed_are_refused() {
    let sandbox = Sandbox::start().await;
    let (pipeline, shop) = start(&sandbox).await;
    let unknown = shop.notice(Kind::PaymentSucceeded, "P-nobody-knows", 1999);
    assert_eq!(shop.tell(&unknown).await, 404);
    assert_eq!(listed(&pipeline, "P-nobody-knows").await[0].0, "unknown_pay_order");

    let pay_order_no = shop.create_pay_order("O-1", 1999).await;
    let success = shop.notice(Kind::PaymentSucceeded, &pay_order_no, 1999);
    let forged = shop.callback(&success).header("webhook-signature", "v1,AAAA");
    let changed = shop.callback(&success).body("{}");
    for request in [forged, changed] {
        let mut request = request.build().expect("a request");
        let last =
            request.headers().get_all("webhook-signature").iter().next_back().cloned().expect("a signature");
        request.headers_mut().insert("webhook-signature", last);
        assert_eq!(shop.http.execute(request).await.expect("an answer").status(), 401);
    }
    assert_eq!(shop.pay_order(&pay_order_no).await["status"], "WAIT_BUYER_PAY");
}
