//! The public and the admin HTTP.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fixtures::{MERCHANT, order};
use crate::running::Fixture;

async fn post(fixture: &Fixture, body: Value) -> (StatusCode, Value) {
    let answer = fixture.replica.request(Method::POST, "/v1/orders", Some(body)).await;
    (answer.status(), answer.json().await.unwrap())
}

/// The order, changed at one place of its JSON.
fn changed(pointer: &str, value: Value) -> Value {
    let mut body = json!(order("1"));
    *body.pointer_mut(pointer).unwrap() = value;
    body
}

#[tokio::test]
async fn an_order_is_created_once_and_conflicts_with_other_content() {
    let fixture = Fixture::start().await;
    let (status, created) = post(&fixture, json!(order("1"))).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(created["status"], "AWAITING_PAYMENT");
    assert_eq!(created["amount_minor"], 2_599);
    assert_eq!(created["currency"], "CNY");
    assert_eq!(
        (&created["payment"], &created["sub_orders"], &created["payments"]),
        (&json!(null), &json!([]), &json!([]))
    );
    assert_eq!(post(&fixture, json!(order("1"))).await, (StatusCode::OK, created.clone()));
    assert_eq!(fixture.replica.order("1").await, created);

    let (status, problem) = post(&fixture, changed("/buyer_id", json!("B8"))).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("order_conflict")));
}

#[tokio::test]
async fn what_is_wrong_with_an_order_is_told_by_a_stable_code() {
    let fixture = Fixture::start().await;
    let many = vec![order("1").items[0].clone(); 501];
    for (body, code) in [
        (changed("/amount_minor", json!(2_600)), "amount_mismatch"),
        (changed("/items/0/price_minor", json!(i64::MAX)), "amount_mismatch"),
        (changed("/items/0/quantity", json!(0)), "invalid"),
        (changed("/items/0/price_minor", json!(-1)), "invalid"),
        (changed("/amount_minor", json!(0)), "invalid"),
        (changed("/amount_minor", json!(25.99)), "invalid"),
        (changed("/items", json!([])), "invalid"),
        (changed("/items", json!(many)), "invalid"),
        (changed("/currency", json!("cny")), "invalid"),
        (changed("/order_no", json!("a b")), "invalid"),
        (changed("/items/0/sku", json!("\u{0}")), "invalid"),
    ] {
        let (status, problem) = post(&fixture, body).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(code)), "{problem}");
    }
    assert_eq!(fixture.replica.order("1").await["code"], "not_found");
}

#[tokio::test]
async fn closing_is_idempotent_and_knows_its_order() {
    let fixture = Fixture::with_orders(&["1"]).await;
    let path = format!("/v1/orders/{MERCHANT}/1/close");
    for _ in 0..2 {
        let closed = fixture.replica.request(Method::POST, &path, None).await;
        assert_eq!(closed.status(), StatusCode::OK);
        let closed: Value = closed.json().await.unwrap();
        assert_eq!((&closed["status"], &closed["version"]), (&json!("CLOSED"), &json!(2)));
    }
    let unknown =
        fixture.replica.request(Method::POST, &format!("/v1/orders/{MERCHANT}/2/close"), None).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn nothing_but_the_document_is_shown_without_the_token() {
    let fixture = Fixture::start().await;
    let orders = fixture.replica.anonymous(&format!("/v1/orders/{MERCHANT}/1")).await;
    assert_eq!(orders.status(), StatusCode::UNAUTHORIZED);
    let document = fixture.replica.anonymous("/openapi.yaml").await;
    assert_eq!(document.status(), StatusCode::OK);
    assert!(document.text().await.unwrap().starts_with("openapi: 3.1.0"));
}

#[tokio::test]
async fn an_audit_needs_a_window_of_some_sense() {
    let fixture = Fixture::start().await;
    let query = "/admin/audit?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z";
    assert_eq!(fixture.replica.admin(Method::GET, query).await.status(), StatusCode::BAD_REQUEST);
    let query = "/admin/audit?from=2026-01-01T00:30:00%2B05:30&to=2026-01-01T03:00:00Z";
    let report: Value = fixture.replica.admin(Method::GET, query).await.json().await.unwrap();
    assert_eq!((&report["from"], &report["buckets"]), (&json!("2025-12-31T19:00:00Z"), &json!([])));
}

#[tokio::test]
async fn a_drained_service_ends_in_good_order() {
    let fixture = Fixture::with_orders(&["1"]).await;
    fixture.replica.stop().await;
}
