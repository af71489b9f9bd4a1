//! When connections end.

use axum::Router;
use axum::routing::get;
use service::http::{Limits, Listener, with_standard_layers};
use tokio::io::AsyncReadExt as _;

use crate::{Clock, Server, answer, is_open, pass, rest, send};

const ASK: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

async fn start() -> Server {
    Server::start(with_standard_layers(
        Router::new().route("/", get(async || "done")),
        Listener::Public,
        Limits::default(),
    ))
    .await
}

#[tokio::test]
async fn an_idle_connection_outlives_the_minute_of_load_balancers() {
    let server = start().await;
    let (mut silent, mut kept) = (server.connect().await, server.connect().await);
    send(&mut kept, ASK).await;
    assert!(answer(&mut kept, "done").await.starts_with("HTTP/1.1 200"));
    let _clock = Clock::stop();
    pass(&server, 74).await;
    assert!(is_open(&kept), "an idle connection is closed too early");
    assert!(is_open(&silent), "balancers connect ahead");
    send(&mut kept, ASK).await;
    answer(&mut kept, "done").await;
    pass(&server, 74).await;
    assert!(is_open(&kept), "the time begins with each answer");
    assert_eq!(rest(&mut silent).await, "");
    pass(&server, 2).await;
    assert!(!is_open(&kept), "an idle connection is closed");
}

#[tokio::test]
async fn a_request_that_begins_at_the_last_moment_is_answered() {
    let server = start().await;
    let mut kept = server.connect().await;
    send(&mut kept, ASK).await;
    answer(&mut kept, "done").await;
    let _clock = Clock::stop();
    pass(&server, 74).await;
    send(&mut kept, "GET / HT").await;
    pass(&server, 20).await;
    assert!(is_open(&kept), "it is closed in the middle of a head");
    send(&mut kept, "TP/1.1\r\nhost: x\r\n\r\n").await;
    answer(&mut kept, "done").await;
}

#[tokio::test]
async fn a_head_that_does_not_end_has_half_a_minute_whatever_came_before() {
    let server = start().await;
    let (mut kept, mut new) = (server.connect().await, server.connect().await);
    send(&mut kept, ASK).await;
    answer(&mut kept, "done").await;
    let _clock = Clock::stop();
    for stream in [&mut kept, &mut new] {
        send(stream, "GET / HTTP/1.1\r\n").await;
    }
    for _ in 0..5 {
        pass(&server, 5).await;
        assert!(is_open(&kept) && is_open(&new));
        send(&mut kept, "x: y\r\n").await;
    }
    pass(&server, 6).await;
    assert!(!is_open(&kept) && !is_open(&new), "trickling does not keep it open");
}

#[tokio::test]
async fn while_it_drains_everybody_is_served_and_told_to_go() {
    let server = start().await;
    let mut kept = server.connect().await;
    send(&mut kept, ASK).await;
    assert!(!answer(&mut kept, "done").await.contains("connection: close"));
    server.draining.cancel();
    server.get("/").await;
    assert!(is_open(&kept), "a request may just be on its way");
    send(&mut kept, ASK).await;
    let told = rest(&mut kept).await;
    assert!(told.contains("connection: close") && told.ends_with("done"), "{told}");
    let mut new = server.connect().await;
    send(&mut new, ASK).await;
    let told = rest(&mut new).await;
    assert!(told.contains("connection: close") && told.ends_with("done"), "{told}");
    assert!(!server.served.is_finished());
}

#[tokio::test]
async fn a_request_whose_head_is_arriving_is_answered_before_the_end() {
    let server = start().await;
    let (mut kept, mut idle) = (server.connect().await, server.connect().await);
    for stream in [&mut kept, &mut idle] {
        send(stream, ASK).await;
        answer(stream, "done").await;
    }
    send(&mut kept, "GET / HTTP/1.1\r\n").await;
    // Until the server has read it.
    server.get("/").await;
    server.cancel.cancel();
    server.draining.cancel();
    assert_eq!(rest(&mut idle).await, "");
    send(&mut kept, "host: x\r\n\r\n").await;
    let told = rest(&mut kept).await;
    assert!(told.contains("connection: close") && told.ends_with("done"), "{told}");
    server.served.await.expect("it stops");
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_not_waited_for_for_ever() {
    let large = || async { "x".repeat(32 << 20) };
    let server = Server::start(with_standard_layers(
        Router::new().route("/", get(large)),
        Listener::Public,
        Limits::default(),
    ))
    .await;
    let mut client = server.connect().await;
    send(&mut client, ASK).await;
    client.readable().await.expect("it answers");
    let _clock = Clock::stop();
    // Idle time, then the time that a client has to end by itself.
    let quick = start().await;
    pass(&quick, 76).await;
    pass(&quick, 31).await;
    let mut read = Vec::new();
    let ended = client.read_to_end(&mut read).await;
    assert!(ended.is_err() || read.len() < 32 << 20, "{} bytes", read.len());
}
