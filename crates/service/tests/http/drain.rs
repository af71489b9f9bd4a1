use std::time::Duration;

use axum::Router;
use service::Shutdown;
use service::http::{Limits, Listener, with_standard_layers};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{Gate, Server};

#[tokio::test]
async fn a_request_under_way_is_finished_and_a_new_one_refused() {
    let gate = Gate::new();
    let server =
        Server::start(with_standard_layers(gate.routes(), Listener::Public, Limits::default())).await;
    let (client, url) = (server.client.clone(), server.url("/slow"));
    let under_way = tokio::spawn(async move { client.get(url).send().await?.text().await });
    gate.entered().await;

    server.cancel.cancel();
    let refused = async || {
        transport::http_client().build().expect("a client").get(server.url("/slow")).send().await.is_err()
    };
    tokio::time::timeout(Duration::from_secs(5), async { while !refused().await {} })
        .await
        .expect("it stops listening");
    assert!(!server.served.is_finished(), "it waits for the request under way");
    gate.open();
    assert_eq!(under_way.await.unwrap().unwrap(), "done");
    server.served.await.unwrap();
}

#[tokio::test]
async fn a_client_that_says_nothing_holds_nobody_up() {
    let server =
        Server::start(with_standard_layers(Router::new(), Listener::Public, Limits::default())).await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    // Accepted in the order of their connecting: the silent one is in.
    server.get("/").await;
    server.cancel.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), server.served).await;
    ended.expect("it stops").unwrap();
    drop(silent);
}

#[tokio::test]
async fn half_a_request_is_dropped_within_half_the_usual_grace() {
    let server =
        Server::start(with_standard_layers(Router::new(), Listener::Public, Limits::default())).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    silent.write_all(b"GET / HTTP/1.1\r\nHost").await.unwrap();
    server.get("/").await;
    server.cancel.cancel();
    // Nothing moves any more but the clock.
    tokio::time::pause();
    let ended = tokio::time::timeout(Duration::from_millis(12_500), server.served).await;
    ended.expect("it stops").unwrap();
}

#[tokio::test]
async fn what_does_not_end_in_the_grace_is_dropped() {
    let shutdown = Shutdown::new();
    shutdown.begin(Duration::from_millis(1));
    assert!(shutdown.draining.is_cancelled() && shutdown.soft.is_cancelled());
    assert_eq!(shutdown.until_hard(std::future::pending::<()>()).await, None);
    assert_eq!(Shutdown::new().until_hard(async { 1 }).await, Some(1));
}

#[tokio::test]
async fn a_client_that_never_ends_the_head_of_its_request_loses_its_connection() {
    let server =
        Server::start(with_standard_layers(Router::new(), Listener::Public, Limits::default())).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    silent.write_all(b"GET / HTTP/1.1\r\nHost").await.unwrap();
    server.get("/").await;
    // Nothing moves any more but the clock.
    tokio::time::pause();
    let ended = tokio::time::timeout(Duration::from_secs(35), silent.read_to_end(&mut Vec::new())).await;
    ended.expect("the server closes the connection").unwrap();
}
