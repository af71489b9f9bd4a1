//! Bodies that do not arrive: the client's failure, and never ours.

use std::time::Duration;

use axum::Router;
use axum::routing::post;
use service::http::{Limits, Listener, with_standard_layers};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::{Clock, Server, is_open, pass, rest, send};

/// Its own path for each test: the metrics of the program are shared.
async fn start(path: &str, timeout: Duration) -> Server {
    service::telemetry::metrics();
    let routes = Router::new().route(path, post(async |body: String| body));
    Server::start(with_standard_layers(routes, Listener::Public, Limits { timeout, ..Limits::default() }))
        .await
}

async fn half(server: &Server, path: &str, rest_of_head: &str, body: &str) -> TcpStream {
    let mut stream = server.connect().await;
    send(&mut stream, &format!("POST {path} HTTP/1.1\r\nhost: x\r\n{rest_of_head}\r\n\r\n{body}")).await;
    stream
}

/// The statuses that were counted on `path`.
pub(crate) fn counted(path: &str) -> Vec<String> {
    let text = service::telemetry::metrics().render();
    let lines = text.lines().filter(|line| line.starts_with("payrelay_http_request_seconds_count{"));
    let lines = lines.filter(|line| line.contains(&format!("route=\"{path}\"")));
    lines.filter_map(|line| Some(line.split_once("status=\"")?.1.split_once('"')?.0.to_owned())).collect()
}

const CHUNKED: &str = "transfer-encoding: chunked";

#[tokio::test]
async fn a_body_that_breaks_off_is_408() {
    let server = start("/breaks-off", Duration::from_secs(10)).await;
    for (head, body) in [("content-length: 10", "half"), (CHUNKED, "4\r\nhalf\r\n"), (CHUNKED, "a\r\nhalf")] {
        let mut stream = half(&server, "/breaks-off", head, body).await;
        stream.shutdown().await.expect("half closed");
        let told = rest(&mut stream).await;
        assert!(told.starts_with("HTTP/1.1 408"), "{head} {body}: {told}");
        assert!(told.contains("body_incomplete") && told.contains("connection: close"), "{told}");
    }
    assert_eq!(counted("/breaks-off"), ["408"]);
}

#[tokio::test]
async fn a_body_that_is_silent_is_408() {
    // Before the whole time is over, and when it is.
    for (path, time) in
        [("/silent", Duration::from_secs(40)), ("/silent-to-the-end", Duration::from_secs(10))]
    {
        let server = start(path, time).await;
        for (head, body) in [("content-length: 10", "half"), ("content-length: 10", ""), (CHUNKED, "4\r\nha")]
        {
            let mut stream = half(&server, path, head, body).await;
            server.get("/").await;
            let _clock = Clock::stop();
            pass(&server, 31).await;
            let told = rest(&mut stream).await;
            assert!(
                told.starts_with("HTTP/1.1 408") && told.contains("body_incomplete"),
                "{head} {body}: {told}"
            );
        }
        assert_eq!(counted(path), ["408"]);
    }
}

#[tokio::test]
async fn a_body_that_trickles_has_its_time_as_a_whole() {
    let server = start("/trickles", Duration::from_secs(40)).await;
    let mut stream = half(&server, "/trickles", "content-length: 1000", "x").await;
    let _clock = Clock::stop();
    for _ in 0..29 {
        send(&mut stream, "x").await;
        pass(&server, 1).await;
    }
    assert!(is_open(&stream));
    pass(&server, 2).await;
    let told = rest(&mut stream).await;
    assert!(told.starts_with("HTTP/1.1 408"), "{told}");
}

#[tokio::test]
async fn a_body_that_is_none_is_400() {
    let server = start("/broken", Duration::from_secs(10)).await;
    for body in ["no size\r\nhalf", "4\r\nhalf and more\r\n", "fffffffffffffffffffff\r\n"] {
        let mut stream = half(&server, "/broken", CHUNKED, body).await;
        let told = rest(&mut stream).await;
        assert!(told.starts_with("HTTP/1.1 400"), "{body}: {told}");
    }
    assert_eq!(counted("/broken"), ["400"]);
}

#[tokio::test]
async fn a_client_that_goes_away_is_no_failure_of_ours() {
    let server = start("/gone", Duration::from_secs(10)).await;
    for body in ["", "half"] {
        let stream = half(&server, "/gone", "content-length: 10", body).await;
        server.get("/").await;
        stream.set_zero_linger().expect("a reset");
        drop(stream);
    }
    // The next is served, and whatever was counted of the others is no 5xx.
    let response = server.client.post(server.url("/gone")).body("whole").send().await.expect("an answer");
    assert_eq!(response.text().await.expect("text"), "whole");
    let counted = counted("/gone");
    assert!(counted.iter().all(|status| ["200", "408"].contains(&status.as_str())), "{counted:?}");
}
