use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use service::admin::{AdminOptions, Readiness, router};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Server, problem};

struct Admin {
    server: Server,
    database: watch::Sender<Result<(), &'static str>>,
    draining: CancellationToken,
}

async fn start() -> Admin {
    let (database, state) = watch::channel(Ok(()));
    let draining = CancellationToken::new();
    let readiness = Readiness::new(draining.clone())
        .check("postgres", move || std::future::ready(*state.borrow()))
        .check("rabbitmq", || std::future::ready(Ok::<(), String>(())));
    let routes = Router::new().route("/admin/parked", get(|| async { "[]" }));
    let options = AdminOptions { readiness, token: "hunter2".into(), routes };
    Admin { server: Server::start(router(options)).await, database, draining }
}

#[tokio::test]
async fn admin_routes_demand_the_token() {
    let Admin { server, .. } = start().await;
    let get = |authorization: &str| {
        server.client.get(server.url("/admin/parked")).header("authorization", authorization).send()
    };
    for wrong in ["", "hunter2", "Bearer", "Bearer ", "Bearer hunter", "Bearer hunter22", "Basic hunter2"] {
        let response = get(wrong).await.unwrap();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        assert_eq!(problem(response).await.1, "unauthorized", "{wrong:?}");
    }
    for right in ["Bearer hunter2", "bearer hunter2"] {
        assert_eq!(get(right).await.unwrap().text().await.unwrap(), "[]");
    }
    assert_eq!(server.get("/healthz").await.text().await.unwrap(), "ok");
    assert_eq!(problem(server.get("/admin/nothing").await).await.1, "not_found");
}

#[tokio::test]
async fn readiness_names_the_check_that_fails_and_ends_with_the_drain() {
    let Admin { server, database, draining } = start().await;
    let readyz = async || {
        let response = server.get("/readyz").await;
        (response.status().as_u16(), response.json::<Value>().await.expect("JSON"))
    };
    let checks = |postgres: &str| json!({"postgres": postgres, "rabbitmq": "ok"});
    assert_eq!(readyz().await, (200, json!({"ready": true, "draining": false, "checks": checks("ok")})));
    database.send(Err("connection refused")).unwrap();
    let refused = json!({"ready": false, "draining": false, "checks": checks("connection refused")});
    assert_eq!(readyz().await, (503, refused));
    database.send(Ok(())).unwrap();
    draining.cancel();
    assert_eq!(readyz().await, (503, json!({"ready": false, "draining": true, "checks": checks("ok")})));
}

#[tokio::test]
async fn a_check_that_must_pass_once_only_advises_after_that() {
    let (broker, seen) = watch::channel(Err("never reached"));
    let readiness = Readiness::new(CancellationToken::new()).check_once("rabbitmq", move || {
        let state = *seen.borrow();
        async move { state }
    });
    let options = AdminOptions { readiness, token: "hunter2".into(), routes: Router::new() };
    let server = Server::start(router(options)).await;
    let readyz = async || {
        let response = server.get("/readyz").await;
        let (status, report) = (response.status().as_u16(), response.json::<Value>().await.unwrap());
        (status, report["checks"]["rabbitmq"].as_str().unwrap().to_owned())
    };
    assert_eq!(readyz().await, (503, "never reached".to_owned()));
    broker.send(Ok(())).unwrap();
    assert_eq!(readyz().await, (200, "ok".to_owned()));
    broker.send(Err("connection refused")).unwrap();
    assert_eq!(readyz().await, (200, "degraded: connection refused".to_owned()));
}

#[tokio::test]
async fn a_check_that_hangs_does_not_hang_the_probe() {
    let readiness = Readiness::new(CancellationToken::new())
        .check("postgres", std::future::pending::<Result<(), String>>);
    let options = AdminOptions { readiness, token: "hunter2".into(), routes: Router::new() };
    let server = Server::start(router(options)).await;
    let response = server.get("/readyz").await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.json::<Value>().await.unwrap()["checks"]["postgres"], "no answer in time");
}

#[tokio::test]
async fn metrics_have_buckets_by_route_and_several_services_share_them() {
    service::telemetry::metrics();
    let (one, other) = (start().await, start().await);
    one.server.get("/healthz").await;
    one.server.get("/no/such/path").await;
    let text = other.server.get("/metrics").await.text().await.unwrap();
    for line in [
        r#"payrelay_http_request_seconds_bucket{listener="admin",method="GET",route="/healthz",status="200",le="0.005"}"#,
        r#"payrelay_http_request_seconds_count{listener="admin",method="GET",route="unknown",status="404"}"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    for name in ["payrelay_http_request_seconds", "payrelay_build_info", "process_resident_memory_bytes"] {
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help in\n{text}");
    }
    assert!(!text.contains("/no/such/path"), "{text}");
}
