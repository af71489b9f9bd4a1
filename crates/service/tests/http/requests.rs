use std::time::Duration;

use axum::Router;
use axum::routing::get;
use service::TraceParent;
use service::http::{Limits, Listener, bind, with_standard_layers};

use crate::{Server, problem};

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

async fn start() -> Server {
    let routes = Router::new()
        .route("/trace", get(|trace: TraceParent| async move { trace.to_string() }))
        .route("/hang", get(std::future::pending::<()>))
        .route("/panic", get(|| async { assert!(std::hint::black_box(false), "on purpose") }));
    Server::start(with_standard_layers(
        routes,
        Listener::Public,
        Limits { timeout: Duration::from_millis(200), ..Limits::default() },
    ))
    .await
}

#[tokio::test]
async fn a_request_continues_the_trace_of_its_client_or_begins_one() {
    let server = start().await;
    let traced = async |header: &str| {
        let response = server.client.get(server.url("/trace")).header("traceparent", header).send().await;
        let text = response.expect("an answer").text().await.expect("a body");
        TraceParent::parse(&text).expect("a traceparent")
    };
    let given = format!("00-{TRACE_ID}-b7ad6b7169203331-01");
    let child = traced(&given).await;
    assert_eq!(child.trace_id(), TRACE_ID);
    assert_ne!(child.to_string(), given);
    assert_ne!(traced("nonsense").await.trace_id(), traced("nonsense").await.trace_id());
}

#[tokio::test]
async fn a_handler_that_hangs_or_panics_is_answered_for() {
    let server = start().await;
    let hung = server.get("/hang").await;
    assert_eq!(hung.headers()["retry-after"], "1");
    assert_eq!(problem(hung).await.1, "timeout");
    let (status, code, _) = problem(server.get("/panic").await).await;
    assert_eq!((status, code.as_str()), (500, "internal"));
    assert_eq!(server.get("/trace").await.status(), 200, "it lives");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let server = start().await;
    let error = bind(server.address).await.unwrap_err();
    assert!(error.to_string().contains(&server.address.to_string()), "{error}");
}
