//! What Alipay and Stripe send, and what they are answered.

use std::fs;

use channels::{alipay, stripe};
use events::{Currency, Money, PayOrderNo};
use reqwest::StatusCode;
use serde_json::{Value, json};
use storage::Database;
use tempfile::NamedTempFile;
use time::OffsetDateTime;

use crate::support::{Ingress, World, eventually, new_pay_order, number};

const ALIPAY: &str = include_str!("../../../channels/tests/vectors/alipay.json");
const STRIPE_SECRET: &str = "whsec_test_secret";

/// The account of Alipay's vectors, and one of Stripe's.
async fn ingress() -> (Ingress, devstack::testing::Database) {
    let file = accounts();
    World::without_broker(&[("PAYRELAY_CHANNELS_FILE", file.path().to_str().unwrap())]).await
}

fn accounts() -> NamedTempFile {
    let config = alipay_config();
    let file = NamedTempFile::new().unwrap();
    let accounts = format!(
        "[alipay_main]\nkind = 'alipay'\napp_id = {}\nseller_id = {}\nalipay_public_key = {}\n\
         [stripe_main]\nkind = 'stripe'\nsecret = '{STRIPE_SECRET}'\n",
        config["app_id"], config["seller_id"], config["alipay_public_key_spki_base64"],
    );
    fs::write(file.path(), accounts).unwrap();
    file
}

fn alipay_config() -> Value {
    serde_json::from_str::<Value>(ALIPAY).unwrap()["config"].take()
}

async fn pay_order(ingress: &Ingress, channel: &str, currency: &str) -> PayOrderNo {
    let mut new = new_pay_order("10001");
    new["channel"] = json!(channel);
    new["currency"] = json!(currency);
    let (status, body) = ingress.create(&new).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    number(&body)
}

/// Status and body of the answer.
async fn post(ingress: &Ingress, account: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let request = ingress.http.post(format!("{}/v1/callbacks/{account}", ingress.url)).body(body.to_owned());
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Status, refunded amount and version.
async fn standing(ingress: &Ingress, number: &PayOrderNo) -> (String, i64, i64) {
    let shown = ingress.show(number).await;
    let amount = |field: &str| shown[field].as_i64().unwrap_or_default();
    (shown["status"].as_str().unwrap().to_owned(), amount("refunded_minor"), amount("version"))
}

fn at(status: &str, refunded_minor: i64, version: i64) -> (String, i64, i64) {
    (status.to_owned(), refunded_minor, version)
}

fn alipay_signer(app_id: Option<&str>) -> alipay::Signer {
    let config = alipay_config();
    let text = |field: &str| config[field].as_str().unwrap().to_owned();
    alipay::Signer {
        app_id: app_id.map_or_else(|| text("app_id"), str::to_owned),
        seller_id: text("seller_id"),
        key: text("TEST_ONLY_signing_private_key_pkcs8_pem").parse().unwrap(),
        charset: "GBK".to_owned(),
    }
}

fn alipay_notice(number: &PayOrderNo, trade_status: &str, refunded_minor: Option<i64>) -> alipay::Notice {
    alipay::Notice {
        trade_status: trade_status.to_owned(),
        pay_order_no: number.clone(),
        trade_no: "2026010122001400010000000001".to_owned(),
        subject: "两杯茶".to_owned(),
        total: Money::new(1999, Currency::parse("CNY").unwrap()),
        at: OffsetDateTime::now_utc(),
        refunded_minor,
    }
}

async fn alipay_tells(ingress: &Ingress, notice: &alipay::Notice, signer: &alipay::Signer) -> (u16, String) {
    let sent = alipay::simulate(notice, "N1", signer, OffsetDateTime::now_utc()).unwrap();
    post(ingress, "alipay_main", &sent.headers(), &sent.body).await
}

#[tokio::test]
async fn alipay_hears_success_or_failure_and_its_refunds_are_found_in_successes_and_closes() {
    let (ingress, _database) = ingress().await;
    let signer = alipay_signer(None);
    let number = pay_order(&ingress, "alipay_main", "CNY").await;
    let notice = |status: &str, refunded| alipay_notice(&number, status, refunded);
    let success = (200, "success".to_owned());
    let failure = (200, "failure".to_owned());

    let mut cheap = notice("TRADE_SUCCESS", None);
    cheap.total.amount_minor = 1;
    assert_eq!(alipay_tells(&ingress, &cheap, &signer).await, failure);
    let other = alipay_signer(Some("2021999999999999"));
    assert_eq!(alipay_tells(&ingress, &notice("TRADE_SUCCESS", None), &other).await, failure);
    let nobody = alipay_notice(&PayOrderNo::parse("P-NOBODY").unwrap(), "TRADE_SUCCESS", None);
    assert_eq!(alipay_tells(&ingress, &nobody, &signer).await, failure);
    assert_eq!(post(&ingress, "alipay_main", &[], "trade_status=TRADE_SUCCESS").await, failure);
    assert_eq!(standing(&ingress, &number).await, at("WAIT_BUYER_PAY", 0, 1));
    let open = ingress.admin_get("/admin/contradictions").await;
    let mut reasons: Vec<_> =
        open.as_array().unwrap().iter().map(|found| found["reason"].as_str().unwrap()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["amount_mismatch", "unknown_pay_order"], "{open}");

    for (status, refunded, expected) in [
        ("WAIT_BUYER_PAY", None, at("WAIT_BUYER_PAY", 0, 1)),
        ("TRADE_SUCCESS", None, at("TRADE_SUCCESS", 0, 2)),
        ("TRADE_SUCCESS", None, at("TRADE_SUCCESS", 0, 2)),
        ("TRADE_SUCCESS", Some(500), at("PARTIALLY_REFUNDED", 500, 3)),
        ("TRADE_SUCCESS", Some(500), at("PARTIALLY_REFUNDED", 500, 3)),
        ("TRADE_SUCCESS", Some(700), at("PARTIALLY_REFUNDED", 700, 4)),
        // Overtaken.
        ("TRADE_SUCCESS", Some(500), at("PARTIALLY_REFUNDED", 700, 4)),
        ("TRADE_FINISHED", None, at("PARTIALLY_REFUNDED", 700, 4)),
        ("TRADE_CLOSED", Some(1999), at("TRADE_REFUNDED", 1999, 5)),
        ("TRADE_CLOSED", Some(1999), at("TRADE_REFUNDED", 1999, 5)),
    ] {
        let answer = alipay_tells(&ingress, &notice(status, refunded), &signer).await;
        assert_eq!(answer, success, "{status} {refunded:?}");
        assert_eq!(standing(&ingress, &number).await, expected, "{status} {refunded:?}");
    }
}

fn stripe_notice(number: &PayOrderNo, kind: stripe::Kind) -> stripe::Notice {
    stripe::Notice {
        kind,
        pay_order_no: number.clone(),
        payment_intent: "pi_1".to_owned(),
        amount: Money::new(1999, Currency::parse("USD").unwrap()),
        at: OffsetDateTime::now_utc(),
        payment_status: "unpaid".to_owned(),
        refunded_minor: None,
    }
}

async fn stripe_tells(ingress: &Ingress, notice: &stripe::Notice) -> (u16, Value) {
    let secret = STRIPE_SECRET.parse().unwrap();
    let sent = stripe::simulate(notice, "evt_1", &secret, OffsetDateTime::now_utc()).unwrap();
    let (status, body) = post(ingress, "stripe_main", &sent.headers(), &sent.body).await;
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn stripe_is_paid_once_by_whichever_event_comes_first() {
    use stripe::Kind;

    let (ingress, _database) = ingress().await;
    let number = pay_order(&ingress, "stripe_main", "USD").await;
    let notice = |kind| stripe_notice(&number, kind);
    let refund = |refunded| stripe::Notice { refunded_minor: Some(refunded), ..notice(Kind::ChargeRefunded) };

    let mut cheap = notice(Kind::PaymentIntentSucceeded);
    cheap.amount.amount_minor = 1;
    let (status, problem) = stripe_tells(&ingress, &cheap).await;
    assert_eq!(
        (status, &problem["code"], &problem["detail"]),
        (409, &json!("contradiction"), &json!("amount_mismatch"))
    );
    let (status, problem) = post(&ingress, "stripe_main", &[("stripe-signature", "t=1,v1=00")], "{}").await;
    assert!(status == 401 && problem.contains("too_old"), "{problem}");

    for (notice, expected) in [
        (notice(Kind::PaymentIntentPaymentFailed), at("WAIT_BUYER_PAY", 0, 1)),
        (notice(Kind::CheckoutSessionCompleted), at("WAIT_BUYER_PAY", 0, 1)),
        (notice(Kind::CheckoutSessionAsyncPaymentSucceeded), at("TRADE_SUCCESS", 0, 2)),
        (notice(Kind::PaymentIntentSucceeded), at("TRADE_SUCCESS", 0, 2)),
        (refund(500), at("PARTIALLY_REFUNDED", 500, 3)),
        (refund(1999), at("TRADE_REFUNDED", 1999, 4)),
        // Stripe promises no order.
        (refund(500), at("TRADE_REFUNDED", 1999, 4)),
        (notice(Kind::PaymentIntentPaymentFailed), at("TRADE_REFUNDED", 1999, 4)),
    ] {
        assert_eq!(stripe_tells(&ingress, &notice).await, (200, json!({"received": true})), "{notice:?}");
        assert_eq!(standing(&ingress, &number).await, expected, "{notice:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_booked_is_kept_before_it_is_acknowledged() {
    let stack =
        devstack::Stack::start(&devstack::StackOptions { rabbitmq: false, ..Default::default() }).unwrap();
    let file = accounts();
    let variables = [("PAYRELAY_CHANNELS_FILE", file.path().to_str().unwrap())];
    let url = stack.postgres().database_url();
    let ingress = Ingress::start(&url, "amqp://127.0.0.1:1", &variables).await;
    let number = pay_order(&ingress, "stripe_main", "USD").await;
    let failed = stripe::Notice {
        payment_status: "failed".to_owned(),
        ..stripe_notice(&number, stripe::Kind::RefundFailed)
    };
    stack.postgres().kill().unwrap();
    let (status, problem) = stripe_tells(&ingress, &failed).await;
    assert_eq!((status, &problem["code"]), (503, &json!("not_persisted")));
    // What could not be read has the same answer with the database as without.
    let secret = STRIPE_SECRET.parse().unwrap();
    let unreadable = stripe::sign("{}".to_owned(), &secret, OffsetDateTime::now_utc());
    assert_eq!(post(&ingress, "stripe_main", &unreadable.headers(), &unreadable.body).await.0, 422);

    stack.postgres().start().unwrap();
    let accepted = async || (stripe_tells(&ingress, &failed).await.0 == 200).then_some(());
    eventually("the event is taken", accepted).await;
    let database = Database::connect(&url, "test", 1).unwrap();
    let client = database.client().await.unwrap();
    let row = client
        .query_one("SELECT outcome, reason, account, dedupe_id, pay_order_no FROM pay.callbacks", &[])
        .await
        .unwrap();
    let kept: Vec<&str> = (0..5).map(|column| row.get(column)).collect();
    assert_eq!(kept, ["unbooked", "refund_failed", "stripe_main", "evt_1", ""]);
    assert_eq!(standing(&ingress, &number).await, at("WAIT_BUYER_PAY", 0, 1));
}

#[tokio::test]
async fn callbacks_are_counted_under_names_of_our_own() {
    let (ingress, _database) = ingress().await;
    let metrics = async || {
        let request = ingress.http.get(format!("{}/metrics", ingress.admin_url));
        request.send().await.unwrap().text().await.unwrap()
    };
    // Counting begins when somebody first looks.
    metrics().await;
    for account in ["nowhere", "stripe_main2", "x"] {
        assert_eq!(post(&ingress, account, &[], "{}").await.0, 404);
    }
    let failed = stripe_notice(&PayOrderNo::parse("P0").unwrap(), stripe::Kind::RefundFailed);
    assert_eq!(stripe_tells(&ingress, &failed).await.0, 200);
    let metrics = metrics().await;
    for (account, outcome) in [("(unknown)", "unknown_account"), ("stripe_main", "refund_failed")] {
        let counted = format!("payrelay_callbacks_total{{account=\"{account}\",outcome=\"{outcome}\"}} ");
        let mut counts = metrics.lines().filter_map(|line| line.strip_prefix(&counted));
        assert!(counts.next().is_some_and(|count| count != "0"), "{counted}: {metrics}");
    }
    assert!(!metrics.contains("nowhere") && !metrics.contains("stripe_main2"), "{metrics}");
}

/// Events that are genuine, concern a pay order, and are nothing that it knows.
#[tokio::test]
async fn a_genuine_event_is_never_dropped_without_a_trace() {
    let (ingress, database) = ingress().await;
    let number = pay_order(&ingress, "stripe_main", "USD").await;
    let metrics = async || {
        let request = ingress.http.get(format!("{}/metrics", ingress.admin_url));
        request.send().await.unwrap().text().await.unwrap()
    };
    metrics().await;
    let metadata = json!({ "pay_order_no": number });
    let free = json!({ "id": "cs_1", "mode": "payment", "payment_status": "no_payment_required", "amount_total": 0,
        "currency": "usd", "payment_intent": null, "metadata": metadata });
    let dispute =
        json!({ "id": "dp_1", "payment_intent": "pi_1", "status": "needs_response", "metadata": {} });
    let events = [
        ("evt_free", "checkout.session.completed", free, "no_payment_required"),
        ("evt_dispute", "charge.dispute.created", dispute, "dispute"),
        ("evt_other", "invoice.paid", json!({ "id": "in_1", "metadata": metadata }), "unknown_event"),
        ("evt_none", "customer.created", json!({ "id": "cus_1" }), "ignored"),
    ];
    let secret = STRIPE_SECRET.parse().unwrap();
    for (id, kind, object, _) in &events {
        let created = OffsetDateTime::now_utc().unix_timestamp();
        let body = json!({ "id": id, "type": kind, "created": created, "data": { "object": object } });
        let sent = stripe::sign(body.to_string(), &secret, OffsetDateTime::now_utc());
        let answer = post(&ingress, "stripe_main", &sent.headers(), &sent.body).await;
        assert_eq!(answer, (200, "{\"received\":true}".to_owned()), "{kind}");
    }
    let counted = metrics().await;
    for (_, _, _, outcome) in &events {
        let line = format!("payrelay_callbacks_total{{account=\"stripe_main\",outcome=\"{outcome}\"}} 1");
        assert!(counted.contains(&line), "{line}: {counted}");
    }
    let client = Database::connect(database.url(), "test", 1).unwrap().client().await.unwrap();
    let rows = client
        .query("SELECT dedupe_id, outcome, reason, pay_order_no FROM pay.callbacks ORDER BY received_at", &[])
        .await
        .unwrap();
    let kept: Vec<[&str; 4]> = rows.iter().map(|row| [0, 1, 2, 3].map(|column| row.get(column))).collect();
    let expected = [
        ["evt_free", "unbooked", "no_payment_required", number.as_str()],
        ["evt_dispute", "unbooked", "dispute", ""],
        ["evt_other", "unbooked", "unknown_event", number.as_str()],
    ];
    assert_eq!(kept, expected);
    assert_eq!(standing(&ingress, &number).await, at("WAIT_BUYER_PAY", 0, 1));
}
