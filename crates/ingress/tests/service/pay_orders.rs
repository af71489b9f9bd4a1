//! Creating, looking up and waiting.

use std::time::Duration;

use channels::standard::Kind;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{World, eventually, new_pay_order, notice, number, paid, read};

#[tokio::test]
async fn a_pay_order_is_created_once_per_order() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let mut request = new_pay_order("10001");
    let (status, created) = ingress.create(&request).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(created["status"], "WAIT_BUYER_PAY");
    assert_eq!((&created["merchant_id"], &created["attach"]), (&json!("m1"), &json!("a=1")));
    assert_eq!(
        (&created["paid_at"], &created["closes_at"], &created["subject"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );

    let (status, same) = ingress.create(&request).await;
    assert_eq!((status, &same), (StatusCode::OK, &created));
    request["amount_minor"] = 1998.into();
    let (status, problem) = ingress.create(&request).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("order_conflict")));
    assert_eq!(problem["pay_order_no"], created["pay_order_no"]);

    assert_eq!(ingress.show(&number(&created)).await, created);
    assert_eq!(ingress.get("/v1/pay-orders?order_no=10001").await, (StatusCode::OK, created));
}

#[tokio::test]
async fn of_many_at_once_one_creates_it() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let request = new_pay_order("10001");
    let answers = join_all((0..32).map(|_| ingress.create(&request))).await;
    let created = answers.iter().filter(|(status, _)| *status == StatusCode::CREATED).count();
    assert_eq!(created, 1, "{answers:?}");
    assert!(
        answers.iter().all(|(_, body)| body["pay_order_no"] == answers[0].1["pay_order_no"]),
        "{answers:?}"
    );
}

#[tokio::test]
async fn after_a_failure_the_order_gets_another_pay_order() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let first = ingress.pay_order("10001").await;
    assert_eq!(ingress.callback(&notice(Kind::PaymentFailed, &first)).await, StatusCode::NO_CONTENT);
    let second = ingress.pay_order("10001").await;
    assert_ne!(first, second);
    let (_, found) = ingress.get("/v1/pay-orders?order_no=10001").await;
    assert_eq!(number(&found), second);
    assert_eq!(ingress.show(&first).await["status"], "TRADE_FAILED");
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let long = "x".repeat(2049);
    let cases = [
        (json!({ "order_no": "a b" }), "invalid"),
        (json!({ "amount_minor": 0 }), "invalid"),
        (json!({ "amount_minor": "1999" }), "invalid"),
        (json!({ "amount_minor": 19.99 }), "invalid"),
        (json!({ "currency": "XXX" }), "invalid"),
        (json!({ "channel": "nowhere" }), "unknown_channel"),
        (json!({ "subject": long }), "invalid"),
        (json!({ "attach": "a\0b" }), "invalid"),
        (json!({ "notify_url": "ftp://example.com" }), "invalid"),
        (json!({ "notify_url": "example.com/notify" }), "invalid"),
        (json!({ "expires_in_seconds": 0 }), "invalid"),
        (json!({ "expires_in_seconds": 604_801 }), "invalid"),
        (json!({ "purpose": "RECHARGE" }), "invalid"),
        (json!({ "amount": 1 }), "invalid"),
    ];
    for (change, code) in cases {
        let mut request = new_pay_order("10001");
        request.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (status, problem) = ingress.create(&request).await;
        assert_eq!((status.as_u16(), &problem["code"]), (422, &json!(code)), "{change}: {problem}");
    }
    for path in ["/v1/pay-orders/a%20b", "/v1/pay-orders", "/v1/pay-orders?order_no=1&wait_seconds=31"] {
        assert_eq!(ingress.get(path).await.0, StatusCode::BAD_REQUEST, "{path}");
    }
    let huge = json!({ "attach": "x".repeat(70_000) });
    assert_eq!(ingress.create(&huge).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_merchant_sees_only_its_own() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let path = format!("/v1/pay-orders/{}", ingress.pay_order("10001").await);
    let stranger = ingress.add_merchant("m2").await.unwrap();
    let get = async |path: &str, key: Option<&str>| {
        let request = ingress.http.get(format!("{}{path}", ingress.url));
        let request = match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        read(request.send().await.unwrap()).await.0.as_u16()
    };
    assert_eq!(get(&path, Some(&ingress.api_key)).await, 200);
    assert_eq!(get(&path, Some(&stranger)).await, 404);
    assert_eq!(get("/v1/pay-orders?order_no=10001", Some(&stranger)).await, 404);
    assert_eq!(get(&path, Some("pk_wrong")).await, 401);
    assert_eq!(get(&path, None).await, 401);
    let close = ingress.http.post(format!("{}{path}/close", ingress.url)).bearer_auth(&stranger);
    assert_eq!(close.send().await.unwrap().status(), StatusCode::NOT_FOUND);

    let disable = ingress.admin(Method::PUT, "/admin/merchants/m2").json(&json!({ "enabled": false }));
    assert_eq!(disable.send().await.unwrap().status(), StatusCode::OK);
    let refused = async || (get(&path, Some(&stranger)).await == 403).then_some(());
    eventually("a disabled merchant is refused", refused).await;
}

#[tokio::test]
async fn a_long_poll_ends_as_soon_as_the_status_is_final() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let number = ingress.pay_order("10001").await;
    let path = format!("/v1/pay-orders/{number}?wait_seconds=");
    let started = Instant::now();
    assert_eq!(ingress.get(&format!("{path}1")).await.1["status"], "WAIT_BUYER_PAY");
    assert!(started.elapsed() >= Duration::from_secs(1));

    let started = Instant::now();
    let by_number = format!("{path}30");
    let ((_, one), (_, other), _) = tokio::join!(
        ingress.get(&by_number),
        ingress.get("/v1/pay-orders?order_no=10001&wait_seconds=30"),
        async { ingress.callback(&paid(&number)).await }
    );
    assert_eq!((&one["status"], &other["status"]), (&json!("TRADE_SUCCESS"), &json!("TRADE_SUCCESS")));
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
    assert_eq!(ingress.get(&by_number).await.1["status"], "TRADE_SUCCESS");
}

#[tokio::test]
async fn a_long_poll_does_not_hold_up_a_shutdown() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let number = ingress.pay_order("10001").await;
    let waiting = ingress.request(Method::GET, &format!("/v1/pay-orders/{number}?wait_seconds=30")).send();
    let waiting = tokio::spawn(waiting);
    let url = ingress.url.clone();
    let http = ingress.http.clone();
    let started = Instant::now();
    // Answered over a connection of its own: by then the long poll has been taken as well, or is refused.
    http.get(format!("{url}/openapi.yaml")).send().await.unwrap();
    ingress.stop().await;
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
    if let Ok(answer) = waiting.await.unwrap() {
        assert_eq!(read(answer).await.1["status"], "WAIT_BUYER_PAY");
    }
}

/// The notifier judges the same addresses before each attempt: what it would never call is refused at once, by the name of the field.
#[tokio::test]
async fn an_address_that_no_webhook_would_be_sent_to_is_refused() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let allowed = [("PAYRELAY_ALLOWED_WEBHOOK_CIDRS", "127.0.0.0/8")];
    let (private, _other) = World::without_broker(&allowed).await;
    for (url, expected) in [
        ("https://shop.example/notify", [true, true]),
        ("https://shop.example:8443/n#part", [true, true]),
        ("", [true, true]),
        ("http://shop.example/notify", [false, true]),
        ("https://shop.example:6379/", [false, true]),
        ("https://localhost/", [false, true]),
        ("https://127.1/", [false, true]),
        ("http://0x7f000001:9999/n", [false, true]),
        ("https://[::ffff:127.0.0.1]/", [false, true]),
        ("https://10.0.0.1/", [false, false]),
        ("https://169.254.169.254/latest/meta-data", [false, false]),
        ("https://[::1]/", [false, false]),
        ("https://shop.example:0/", [false, false]),
        ("https://user:pw@shop.example/", [false, false]),
        ("ftp://shop.example/", [false, false]),
        ("shop.example/notify", [false, false]),
    ] {
        for (ingress, expected) in [&ingress, &private].into_iter().zip(expected) {
            let mut request = new_pay_order(&format!("N{}", uuid::Uuid::now_v7().simple()));
            request["notify_url"] = json!(url);
            let (status, body) = ingress.create(&request).await;
            let recharge = json!({"recharge_no": "1", "user_id": "u1", "amount_minor": 1, "currency": "CNY",
                "channel": "gateway_main", "notify_url": url});
            let (recharged, problem) = ingress.post("/v1/recharges", &recharge).await;
            if expected {
                assert_eq!(status, StatusCode::CREATED, "{url}: {body}");
                // There is no such user: its address was no reason.
                assert_eq!(recharged, StatusCode::NOT_FOUND, "{url}: {problem}");
            } else {
                for (status, problem) in [(status, body), (recharged, problem)] {
                    assert_eq!(
                        (status, &problem["code"]),
                        (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid")),
                        "{url}"
                    );
                    assert!(
                        problem["detail"].as_str().unwrap().starts_with("notify_url: "),
                        "{url}: {problem}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn what_was_made_while_its_address_was_allowed_is_told_again() {
    let (ingress, database) = World::without_broker(&[]).await;
    let mut request = new_pay_order("10001");
    request["notify_url"] = json!("https://shop.example/n");
    assert_eq!(ingress.create(&request).await.0, StatusCode::CREATED);
    let narrowed = "UPDATE pay.pay_orders SET notify_url = 'https://10.0.0.1/n'";
    let server = storage::Database::connect(database.url(), "test", 1).unwrap();
    server.client().await.unwrap().execute(narrowed, &[]).await.unwrap();
    request["notify_url"] = json!("https://10.0.0.1/n");
    assert_eq!(ingress.create(&request).await.0, StatusCode::OK);
    request["subject"] = json!("other content");
    assert_eq!(ingress.create(&request).await.0, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn whole_numbers_are_taken_however_json_writes_them() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let (_, first) = ingress.create(&new_pay_order("10001")).await;
    for written in ["1999.0", "1.999e3"] {
        let body = new_pay_order("10001").to_string().replace("1999", written);
        let request =
            ingress.request(Method::POST, "/v1/pay-orders").header("content-type", "application/json");
        let (status, same) = read(request.body(body).send().await.unwrap()).await;
        assert_eq!((status, &same), (StatusCode::OK, &first), "{written}");
    }
    let body = new_pay_order("10002").to_string().replace("1999", "19.99");
    let request = ingress.request(Method::POST, "/v1/pay-orders").header("content-type", "application/json");
    let (status, problem) = read(request.body(body).send().await.unwrap()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem["detail"].as_str().unwrap().contains("a whole number"), "{problem}");
}
