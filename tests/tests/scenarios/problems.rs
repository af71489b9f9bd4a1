//! Bad requests get a problem document (RFC 9457) with a stable code, and change nothing.

use reqwest::RequestBuilder;
use scenarios::{CHANNEL, ORDER_API_TOKEN, Options, Pipeline, Sandbox, Servers, Shop};
use serde_json::{Value, json};

/// Checks the answer to each request: its status, its code, and that it is a problem document.
async fn assert_problems(requests: Vec<(&str, RequestBuilder, u16, &str)>) {
    for (what, request, status, code) in requests {
        let answer = request.send().await.expect("an answer");
        let got = answer.status().as_u16();
        let media_type =
            answer.headers().get("content-type").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let text = answer.text().await.expect("a body");
        assert_eq!(got, status, "{what}: {text}");
        assert_eq!(media_type.as_deref(), Some("application/problem+json"), "{what}: {text}");
        let problem: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{what}: {error}: {text}"));
        assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)), "{what}: {text}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{what}: {text}");
    }
}

async fn start() -> (Pipeline, Shop, Shop) {
    let sandbox = Sandbox::start().await;
    let pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let [first, second] = ["m1", "m2"];
    let first = pipeline.shop(&pipeline.add_merchant(first, &sandbox.url(first)).await);
    let second = pipeline.shop(&pipeline.add_merchant(second, &sandbox.url(second)).await);
    (pipeline, first, second)
}

fn pay_order(change: &Value) -> Value {
    let mut body = json!({"order_no": "O-1", "amount_minor": 1999, "currency": "CNY", "channel": CHANNEL});
    for (name, value) in change.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_pay_order_is_refused_with_a_stable_code() {
    let (_pipeline, shop, _) = start().await;
    shop.create_pay_order("O-1", 1999).await;
    let url = shop.ingress("/v1/pay-orders");
    let post = || shop.http.post(&url).bearer_auth(&shop.merchant.api_key);
    let change = |change: Value| post().json(&pay_order(&change));
    let text = |text: &str| post().header("content-type", "application/json").body(text.to_owned());
    assert_problems(vec![
        ("no key", shop.http.post(&url).json(&pay_order(&json!({}))), 401, "unauthorized"),
        ("a wrong key", shop.http.post(&url).bearer_auth("pk_wrong").json(&json!({})), 401, "unauthorized"),
        ("half of JSON", text(r#"{"order_no":"#), 400, "invalid_json"),
        ("no JSON", post().body("order_no=O-1"), 415, "unsupported_media_type"),
        ("an amount in words", change(json!({"amount_minor": "1999"})), 422, "invalid"),
        ("a fraction of a fen", change(json!({"amount_minor": 19.99})), 422, "invalid"),
        ("no money", change(json!({"amount_minor": 0})), 422, "invalid"),
        ("less than no money", change(json!({"amount_minor": -1})), 422, "invalid"),
        ("more money than there is", text(r#"{"amount_minor": 9223372036854775808}"#), 422, "invalid"),
        ("an unknown currency", change(json!({"currency": "ABC"})), 422, "invalid"),
        ("an unknown channel", change(json!({"channel": "nobody"})), 422, "unknown_channel"),
        ("an order number with a blank", change(json!({"order_no": "O 1"})), 422, "invalid"),
        ("an order number without end", change(json!({"order_no": "1".repeat(65)})), 422, "invalid"),
        ("a URL that is none", change(json!({"notify_url": "ftp://merchant.example"})), 422, "invalid"),
        ("a field that nobody knows", change(json!({"ammount": 1})), 422, "invalid"),
        ("an expiry in the past", change(json!({"expires_in_seconds": -1})), 422, "invalid"),
        ("a body without end", text(&"x".repeat(65 * 1024)), 413, "body_too_large"),
        ("other content", change(json!({"amount_minor": 2000})), 409, "order_conflict"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reaches_what_is_not_there_or_not_his() {
    let (_pipeline, shop, other) = start().await;
    let number = shop.create_pay_order("O-1", 1999).await;
    let path = format!("/v1/pay-orders/{number}");
    let of = |shop: &Shop, path: &str| shop.http.get(shop.ingress(path)).bearer_auth(&shop.merchant.api_key);
    let get = |path: &str| of(&shop, path);
    let post = |path: &str| shop.http.post(shop.ingress(path));
    let foreign_close =
        other.http.post(other.ingress(&format!("{path}/close"))).bearer_auth(&other.merchant.api_key);
    let delete = shop.http.delete(shop.ingress("/v1/pay-orders")).bearer_auth(&shop.merchant.api_key);
    let unsigned = format!("/v1/callbacks/{CHANNEL}");
    assert_problems(vec![
        ("an unknown route", get("/v2/pay-orders"), 404, "not_found"),
        ("a wrong method", delete, 405, "method_not_allowed"),
        ("an unknown pay order", get("/v1/pay-orders/P-nobody-knows"), 404, "not_found"),
        ("another merchant's pay order", of(&other, &path), 404, "not_found"),
        ("another merchant's order", of(&other, "/v1/pay-orders?order_no=O-1"), 404, "not_found"),
        ("closing another merchant's pay order", foreign_close, 404, "not_found"),
        ("no order number", get("/v1/pay-orders"), 400, "invalid_query"),
        ("a wait without end", get(&format!("{path}?wait_seconds=31")), 400, "invalid_query"),
        ("a channel that nobody knows", post("/v1/callbacks/nobody"), 404, "not_found"),
        ("a callback without signature", post(&unsigned), 401, "missing_header"),
        ("a callback without end", post(&unsigned).body("x".repeat((1 << 20) + 1)), 413, "body_too_large"),
    ])
    .await;
    assert_eq!(shop.pay_order(&number).await["status"], "WAIT_BUYER_PAY");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_service_answers_bad_requests_with_stable_codes() {
    let (_pipeline, shop, _) = start().await;
    shop.create_order("O-1", 1999).await;
    let url = shop.order_service("/v1/orders");
    let order = |change: Value| {
        let mut body = json!({
            "order_no": "O-2", "merchant_id": "m1", "buyer_id": "b1", "amount_minor": 100, "currency": "CNY",
            "items": [{"sku": "tea", "quantity": 2, "price_minor": 50, "shop_id": "s1", "warehouse_id": "w1"}],
        });
        for (name, value) in change.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        shop.http.post(&url).bearer_auth(ORDER_API_TOKEN).json(&body)
    };
    let get = |path: &str| shop.http.get(shop.order_service(path)).bearer_auth(ORDER_API_TOKEN);
    assert_problems(vec![
        ("no token", shop.http.get(shop.order_service("/v1/orders/m1/O-1")), 401, "unauthorized"),
        (
            "a wrong token",
            shop.http.get(shop.order_service("/v1/orders/m1/O-1")).bearer_auth("wrong"),
            401,
            "unauthorized",
        ),
        ("a sum that is none", order(json!({"amount_minor": 101})), 422, "amount_mismatch"),
        ("no items", order(json!({"items": []})), 422, "invalid"),
        ("an unknown currency", order(json!({"currency": "ABC"})), 422, "invalid"),
        ("other content", order(json!({"order_no": "O-1"})), 409, "order_conflict"),
        ("an unknown order", get("/v1/orders/m1/O-3"), 404, "not_found"),
        (
            "an unknown order to close",
            shop.http.post(shop.order_service("/v1/orders/m1/O-3/close")).bearer_auth(ORDER_API_TOKEN),
            404,
            "not_found",
        ),
        ("an unknown route", get("/v1/nothing"), 404, "not_found"),
        ("a wrong method", shop.http.put(&url).bearer_auth(ORDER_API_TOKEN), 405, "method_not_allowed"),
    ])
    .await;
    assert_eq!(shop.order("O-1").await["amount_minor"], 1999);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_shows_health_to_all_and_everything_else_to_operators_only() {
    let (mut pipeline, shop, _) = start().await;
    let urls: Vec<_> = pipeline.services().map(|service| service.admin_url.clone()).collect();
    for url in urls {
        let get = |path: &str| shop.http.get(format!("{url}{path}"));
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(get(path).send().await.expect("an answer").status(), 200, "{url}{path}");
        }
        assert_problems(vec![
            ("no token", get("/admin/audit"), 401, "unauthorized"),
            ("a wrong token", get("/admin/audit").bearer_auth("wrong"), 401, "unauthorized"),
            (
                "an order number that is none",
                get("/admin/trace/a%20b").bearer_auth(scenarios::ADMIN_TOKEN),
                400,
                "invalid_path",
            ),
        ])
        .await;
    }
}
