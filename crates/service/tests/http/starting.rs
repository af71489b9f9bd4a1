use std::time::Duration;

use axum::Router;
use axum::routing::get;
use serde_json::Value;
use service::http::{Patience, Stop, bind, serve};
use service::serve_while_starting;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::problem;

async fn listen() -> (TcpListener, String) {
    service::tls::install();
    let listener = bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    (listener, url)
}

async fn asked(url: String) -> reqwest::Response {
    transport::http_client().build().expect("a client").get(url).send().await.expect("an answer")
}

#[tokio::test]
async fn who_starts_lives_is_not_ready_and_takes_nothing() {
    let ((admin, admin_url), (public, public_url)) = (listen().await, listen().await);
    let (go_on, work) = oneshot::channel::<u8>();
    let starting =
        tokio::spawn(async move { (serve_while_starting(&admin, Some(&public), work).await, admin, public) });

    let health = asked(format!("{admin_url}/healthz")).await;
    assert_eq!((health.status().as_u16(), health.text().await.unwrap().as_str()), (200, "ok"));
    let ready = asked(format!("{admin_url}/readyz")).await;
    assert_eq!(ready.status(), 503);
    let report: Value = ready.json().await.unwrap();
    assert!(report["checks"]["postgres"].as_str().unwrap().contains("starting"), "{report}");
    for path in ["/admin/checkup", "/v1/nothing"] {
        assert_eq!(problem(asked(format!("{admin_url}{path}")).await).await.1, "unavailable");
    }
    let refused = asked(format!("{public_url}/v1/callbacks/main")).await;
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(problem(refused).await.1, "unavailable");
    assert_eq!(asked(format!("{public_url}/healthz")).await.status(), 503, "the admin port's alone");

    // Half a request does not hold up the start.
    let mut half = TcpStream::connect(admin_url.trim_start_matches("http://")).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nHost").await.unwrap();
    asked(format!("{admin_url}/healthz")).await;
    go_on.send(7).unwrap();
    let (done, admin, _public) =
        tokio::time::timeout(Duration::from_secs(5), starting).await.unwrap().unwrap();
    assert_eq!(done.unwrap(), Ok(7));
    assert_eq!(half.read(&mut [0]).await.unwrap_or(0), 0, "closed");

    // The listener is what it was.
    let cancel = CancellationToken::new();
    let routes = Router::new().route("/", get(async || "started"));
    let served = serve(admin, routes, Patience::default(), Stop::at(cancel.clone()));
    let served = tokio::spawn(served);
    assert_eq!(asked(admin_url).await.text().await.unwrap(), "started");
    cancel.cancel();
    served.await.unwrap();
}
