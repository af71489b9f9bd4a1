use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde::Deserialize;
use service::Problem;
use service::extract::{Json, Path, Query};
use service::http::{Limits, Listener, with_standard_layers};

use crate::{Server, problem};

#[derive(Deserialize)]
struct Order {
    amount_minor: i64,
}

#[derive(Deserialize)]
struct Page {
    limit: u32,
}

async fn create(Path(id): Path<u32>, Query(page): Query<Page>, Json(order): Json<Order>) -> Json<i64> {
    Json(i64::from(id) + i64::from(page.limit) + order.amount_minor)
}

async fn start() -> Server {
    let routes = Router::new().route("/orders/{id}", post(create));
    Server::start(with_standard_layers(
        routes,
        Listener::Public,
        Limits { max_body_bytes: 64, ..Limits::default() },
    ))
    .await
}

async fn post_json(server: &Server, path: &str, body: String) -> reqwest::Response {
    let request = server.client.post(server.url(path)).header("content-type", "application/json");
    request.body(body).send().await.expect("an answer")
}

#[tokio::test]
async fn good_input_is_taken() {
    let server = start().await;
    let response = post_json(&server, "/orders/1?limit=10", r#"{"amount_minor":100}"#.to_owned()).await;
    assert_eq!(response.json::<i64>().await.unwrap(), 111);
}

#[tokio::test]
async fn every_kind_of_bad_input_has_its_code() {
    let server = start().await;
    let good = r#"{"amount_minor":100}"#;
    let too_large = format!(r#"{{"amount_minor":100,"padding":"{}"}}"#, "x".repeat(64));
    for (path, body, status, code, named) in [
        ("/orders/1?limit=10", r#"{"amount_minor":"#, 400, "invalid_json", "EOF"),
        ("/orders/1?limit=10", r#"{"amount_minor":"1"}"#, 422, "invalid", "amount_minor"),
        ("/orders/1?limit=10", "{}", 422, "invalid", "amount_minor"),
        ("/orders/1?limit=10", too_large.as_str(), 413, "body_too_large", "limit"),
        ("/orders/1?limit=-1", good, 400, "invalid_query", "limit"),
        ("/orders/1", good, 400, "invalid_query", "limit"),
        ("/orders/x?limit=10", good, 400, "invalid_path", "id"),
        ("/nothing", good, 404, "not_found", "path"),
    ] {
        let (got_status, got_code, detail) = problem(post_json(&server, path, body.to_owned()).await).await;
        assert_eq!((got_status, got_code.as_str()), (status, code), "{path} {body}: {detail}");
        assert!(detail.contains(named), "{path} {body}: {detail}");
    }
}

#[tokio::test]
async fn a_wrong_media_type_and_a_wrong_method_are_told() {
    let server = start().await;
    let form =
        server.client.post(server.url("/orders/1?limit=10")).body("amount_minor=1").send().await.unwrap();
    assert_eq!(problem(form).await.1, "unsupported_media_type");
    let wrong_method = server.get("/orders/1").await;
    assert_eq!(wrong_method.headers()["allow"], "POST");
    assert_eq!(problem(wrong_method).await.1, "method_not_allowed");
}

#[test]
fn members_stand_beside_the_standard_ones_and_never_in_their_place() {
    let problem = Problem::conflict("order_conflict", "another amount")
        .member("pay_order_no", "P1")
        .member("code", "x");
    assert_eq!(
        problem.to_json(),
        serde_json::json!({
            "type": "about:blank", "title": "Conflict", "status": 409, "code": "order_conflict",
            "detail": "another amount", "pay_order_no": "P1",
        })
    );
    assert_eq!(problem.status, StatusCode::CONFLICT);
}
