//! What a channel says and cannot be true is answered as a failure, recorded, and changes nothing.

use channels::standard::Kind;
use scenarios::{
    ADMIN_TOKEN, ORDER_API_TOKEN, Options, Pipeline, Sandbox, Servers, Shop, check, run_program, until,
};
use serde_json::{Value, json};

/// An id that no contradiction has.
const UNKNOWN: &str = "0197c1a0-0000-7000-8000-000000000000";

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

/// What `payrelay contradictions list` prints with these arguments.
async fn list(pipeline: &Pipeline, arguments: &[&str]) -> Vec<Value> {
    let listed = pipeline.payrelay_json(&[&["contradictions", "list"], arguments].concat()).await;
    listed.as_array().expect("a list").clone()
}

fn id(row: &Value) -> &str {
    row["contradiction_id"].as_str().expect("an id")
}

/// Until a service counts so many open contradictions of this reason.
async fn open(shop: &Shop, admin_url: &str, reason: &str, count: u32) {
    measured(shop, admin_url, &format!("payrelay_contradictions_open{{reason=\"{reason}\"}} {count}")).await;
}

/// Until this is a line of a service's metrics.
async fn measured(shop: &Shop, admin_url: &str, line: &str) {
    until("metric", async || {
        let answer = shop.http.get(format!("{admin_url}/metrics")).send().await;
        let metrics = answer.expect("an answer").text().await.expect("metrics");
        if metrics.lines().any(|known| known == line) {
            Ok(())
        } else {
            Err(format!("not {line}: {metrics}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_accepted_after_the_close_goes_all_the_way() {
    let sandbox = Sandbox::start().await;
    let (pipeline, shop) = start(&sandbox).await;
    shop.create_order("O-1", 1999).await;
    let number = shop.create_pay_order_with("O-1", 1999, &json!({"expires_in_seconds": 1})).await;
    closed(&shop, &number).await;
    let success = shop.notice(Kind::PaymentSucceeded, &number, 1999);
    assert_eq!([shop.tell(&success).await, shop.tell(&success).await], [409, 409]);
    let ingress = &pipeline.ingress[0].admin_url;
    let counted = r#"payrelay_callbacks_total{account="standard_main",outcome="success_after_close"} 2"#;
    measured(&shop, ingress, counted).await;
    open(&shop, ingress, "success_after_close", 1).await;
    let [row] = &*list(&pipeline, &["--reason", "success_after_close"]).await else { panic!("one is open") };
    assert_eq!((&row["count"], &row["theirs"][0]["kind"]), (&json!(2), &json!("succeeded")), "{row}");

    let accept =
        ["contradictions", "resolve", id(row), "--accept", "--note", "the money is there", "--by", "ann"];
    let accepted = pipeline.payrelay_json(&accept).await;
    assert_eq!(pipeline.payrelay_json(&accept).await, accepted, "the same decision again");
    assert_eq!(shop.tell(&success).await, 204, "a duplicate from now on");
    check::audited(&pipeline).await;
    let order = shop.order("O-1").await;
    assert_eq!(
        (&order["status"], &order["payment"]["pay_order_no"]),
        (&json!("PAID"), &json!(number)),
        "{order}"
    );
    let told: Vec<_> = sandbox
        .received()
        .iter()
        .map(|told| (told.event_type().to_owned(), told.body["data"]["version"].clone()))
        .collect();
    assert_eq!(told, [("pay.closed".to_owned(), json!(2)), ("pay.success".to_owned(), json!(3))]);

    let trace = pipeline.payrelay(&["trace", "O-1"]).await;
    assert!(trace.stdout.contains("contradiction_accepted"), "{}", trace.stdout);
    let dismiss = ["contradictions", "resolve", id(row), "--dismiss", "--note", "no", "--by", "bob"];
    let refused = pipeline.payrelay(&dismiss).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("already_resolved"), "{refused:?}");
    assert_eq!(list(&pipeline, &[]).await, [] as [Value; 0]);
    assert_eq!(list(&pipeline, &["--status", "resolved"]).await, [accepted]);
    open(&shop, ingress, "success_after_close", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_that_an_order_cannot_take_are_listed_with_the_others_and_dismissed() {
    let sandbox = Sandbox::start().await;
    let (pipeline, shop) = start(&sandbox).await;
    // Closed at the order service, then paid.
    shop.create_order("O-1", 1999).await;
    let path = format!("/v1/orders/{}/O-1/close", shop.merchant.id);
    let close = shop.http.post(shop.order_service(&path)).bearer_auth(ORDER_API_TOKEN).send().await;
    assert_eq!(close.expect("an answer").status(), 200);
    let first = shop.create_pay_order("O-1", 1999).await;
    shop.tell_until_taken(&shop.notice(Kind::PaymentSucceeded, &first, 1999)).await;
    // Failed, paid by another, and paid after all.
    shop.create_order("O-2", 1999).await;
    let failed = shop.create_pay_order("O-2", 1999).await;
    shop.tell_until_taken(&shop.notice(Kind::PaymentFailed, &failed, 1999)).await;
    let second = shop.create_pay_order("O-2", 1999).await;
    shop.tell_until_taken(&shop.notice(Kind::PaymentSucceeded, &second, 1999)).await;
    until("paid order", async || {
        let order = shop.order("O-2").await;
        if order["status"] == "PAID" { Ok(()) } else { Err(order.to_string()) }
    })
    .await;
    shop.tell_until_taken(&shop.notice(Kind::PaymentSucceeded, &failed, 1999)).await;
    // And one at the ingress, the latest.
    let of_both = until("contradictions of the order service", async || {
        let listed = list(&pipeline, &[]).await;
        if listed.len() == 2 { Ok(listed) } else { Err(format!("{listed:?}")) }
    })
    .await;
    assert_eq!(shop.tell(&shop.notice(Kind::PaymentSucceeded, "P-nobody-knows", 1999)).await, 404);
    let listed = list(&pipeline, &[]).await;
    let reasons: Vec<_> = listed.iter().map(|row| row["reason"].as_str().expect("a reason")).collect();
    assert_eq!(reasons, ["unknown_pay_order", "second_payment", "order_closed"]);
    assert_eq!(&listed[1..], of_both);
    assert_eq!(list(&pipeline, &["--reason", "order_closed"]).await, &listed[2..]);
    assert_eq!(list(&pipeline, &["--limit", "1"]).await, &listed[..1]);

    let order_service = &pipeline.order_service[0].admin_url;
    open(&shop, order_service, "second_payment", 1).await;
    for row in &listed {
        let shown = pipeline.payrelay(&["contradictions", "show", id(row)]).await;
        assert!(shown.stdout.contains("theirs") && shown.stdout.ends_with("open\n"), "{shown:?}");
        let resolve =
            |what| ["contradictions", "resolve", id(row), what, "--note", "refunded", "--by", "ann"];
        let refused = pipeline.payrelay(&resolve("--accept")).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(
            refused.stderr.contains("not_acceptable") && refused.stderr.contains("refund"),
            "{refused:?}"
        );
        let dismissed = pipeline.payrelay(&resolve("--dismiss")).await;
        assert_eq!(dismissed.code, Some(0), "{dismissed:?}");
        assert!(
            dismissed.stdout.contains("by ann") && dismissed.stdout.contains("refunded"),
            "{dismissed:?}"
        );
    }
    assert_eq!(list(&pipeline, &[]).await, [] as [Value; 0]);
    assert_eq!(list(&pipeline, &["--status", "all"]).await.len(), 3);
    open(&shop, order_service, "second_payment", 0).await;

    let unknown = pipeline.payrelay(&["contradictions", "show", UNKNOWN]).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
}

#[tokio::test]
async fn a_decision_needs_an_id_an_action_a_note_and_a_name() {
    for arguments in [
        &["show", "no-uuid"][..],
        &["list", "--reason", "bad_luck"],
        &["resolve", UNKNOWN, "--dismiss", "--by", "ann"],
        &["resolve", UNKNOWN, "--note", "x", "--by", "ann"],
        &["resolve", UNKNOWN, "--dismiss", "--note", "x"],
        &["resolve", UNKNOWN, "--dismiss", "--note", "", "--by", "ann"],
        &["resolve", UNKNOWN, "--dismiss", "--accept", "--note", "x", "--by", "ann"],
    ] {
        let token = [("PAYRELAY_ADMIN_TOKEN", ADMIN_TOKEN)];
        let answer = run_program("payrelay", &[&["contradictions"], arguments].concat(), &token).await;
        assert_eq!(answer.code, Some(2), "{arguments:?}: {answer:?}");
    }
}
