//! A user's money: it comes by a recharge and goes by a balance payment, and everybody is told as of any other payment.

use channels::standard::Kind;
use scenarios::{CHANNEL, Options, Pipeline, Sandbox, Servers, Shop, check, until};
use serde_json::{Value, json};

const PASSWORD: &str = "pass-phrase-8431";
const PRICE: i64 = 1999;

/// What the shop posts, and is answered with this status.
async fn posted(shop: &Shop, path: &str, body: &Value, status: u16) -> Value {
    let request = shop.http.post(shop.ingress(path)).bearer_auth(&shop.merchant.api_key).json(body);
    let answer = request.send().await.expect("an answer");
    let (told, body) = (answer.status(), answer.json::<Value>().await.expect("JSON"));
    assert_eq!(told, status, "{path}: {body}");
    body
}

async fn got(shop: &Shop, path: &str) -> Value {
    let request = shop.http.get(shop.ingress(path)).bearer_auth(&shop.merchant.api_key);
    request.send().await.expect("an answer").json().await.expect("JSON")
}

/// Opens an account of `alice` and recharges it by the channel, which says so twice.
async fn recharged(shop: &Shop, amount_minor: i64) {
    let account = json!({ "user_id": "alice", "pay_password": PASSWORD, "currency": "CNY" });
    posted(shop, "/v1/accounts", &account, 201).await;
    let recharge = json!({ "recharge_no": "R-1", "user_id": "alice", "amount_minor": amount_minor, "currency": "CNY",
        "channel": CHANNEL });
    let made = posted(shop, "/v1/recharges", &recharge, 201).await;
    let pay_order_no = made["pay_order_no"].as_str().expect("a number");
    let success = shop.notice(Kind::PaymentSucceeded, pay_order_no, amount_minor);
    for _ in 0..2 {
        shop.tell_until_taken(&success).await;
    }
    assert_eq!(balance(shop).await, amount_minor);
}

async fn balance(shop: &Shop) -> i64 {
    let user = got(shop, "/v1/accounts/alice").await;
    user["balances"][0]["balance_minor"].as_i64().unwrap_or_else(|| panic!("{user}"))
}

/// An order and a pay order for it that is paid from a balance.
async fn ordered(shop: &Shop, order_no: &str) -> String {
    shop.create_order(order_no, PRICE).await;
    shop.create_pay_order_with(order_no, PRICE, &json!({ "channel": "balance" })).await
}

fn payment() -> Value {
    json!({ "user_id": "alice", "pay_password": PASSWORD })
}

/// The order is paid, its merchant told once, and nothing is missing anywhere.
async fn settled(
    pipeline: &Pipeline,
    sandbox: &Sandbox,
    shop: &Shop,
    (order_no, pay_order_no): (&str, &str),
) {
    let order = until("paid order", async || {
        let order = shop.order(order_no).await;
        if order["status"] == "PAID" { Ok(order) } else { Err(order.to_string()) }
    })
    .await;
    assert_eq!(order["payment"]["pay_order_no"], pay_order_no);
    assert_eq!(order["payment"]["channel_trade_no"], format!("BP-{pay_order_no}"));
    check::audited(pipeline).await;
    let received = sandbox.received();
    let told: Vec<_> = received.iter().filter(|webhook| webhook.order_no() == order_no).collect();
    let [webhook] = &*told else { panic!("{told:?}") };
    assert_eq!(webhook.event_type(), "pay.success");
    assert_eq!(
        (&webhook.body["data"]["channel"], &webhook.body["data"]["amount_minor"]),
        (&json!("balance"), &json!(PRICE))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn money_comes_by_a_recharge_and_pays_an_order() {
    let sandbox = Sandbox::start().await;
    let pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);
    recharged(&shop, PRICE + 1).await;

    let first = ordered(&shop, "O-1").await;
    let path = format!("/v1/pay-orders/{first}/balance-payment");
    let guess = json!({ "user_id": "alice", "pay_password": "a guess" });
    assert_eq!(posted(&shop, &path, &guess, 403).await["code"], "wrong_pay_password");
    let receipt = posted(&shop, &path, &payment(), 200).await;
    assert_eq!(posted(&shop, &path, &payment(), 200).await, receipt);
    let second = ordered(&shop, "O-2").await;
    let path = format!("/v1/pay-orders/{second}/balance-payment");
    assert_eq!(posted(&shop, &path, &payment(), 402).await["code"], "insufficient_balance");
    assert_eq!(shop.pay_order(&second).await["status"], "WAIT_BUYER_PAY");

    assert_eq!(balance(&shop).await, 1);
    settled(&pipeline, &sandbox, &shop, ("O-1", &first)).await;
    assert_eq!(shop.order("O-2").await["status"], "AWAITING_PAYMENT");
    let log = pipeline.ingress[0].log();
    assert!(!log.contains(PASSWORD) && !log.contains("argon2id"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_did_not_hear_of_its_payment_repeats_it_and_pays_once() {
    let sandbox = Sandbox::start().await;
    let mut pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);
    recharged(&shop, 2 * PRICE).await;
    let number = ordered(&shop, "O-1").await;
    let path = format!("/v1/pay-orders/{number}/balance-payment");

    let ingress = &mut pipeline.ingress[0];
    assert_eq!(ingress.terminate().await, Some(0), "{}", ingress.log());
    ingress.start_armed("balance_payment::after_commit=return").await;
    ingress.ready().await;
    let request = shop.http.post(shop.ingress(&path)).bearer_auth(&merchant.api_key).json(&payment());
    let unheard = request.send().await;
    assert!(unheard.is_err(), "{unheard:?}");
    let ingress = &mut pipeline.ingress[0];
    ingress.aborted().await;
    ingress.start();
    ingress.ready().await;

    let receipt = posted(&shop, &path, &payment(), 200).await;
    assert_eq!(receipt["channel_trade_no"], format!("BP-{number}"));
    assert_eq!(posted(&shop, &path, &payment(), 200).await, receipt);
    assert_eq!((balance(&shop).await, &shop.pay_order(&number).await["version"]), (PRICE, &json!(2)));
    settled(&pipeline, &sandbox, &shop, ("O-1", &number)).await;
}
