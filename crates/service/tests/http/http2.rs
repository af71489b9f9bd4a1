//! HTTP/2 by prior knowledge, on the same port.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, Response, Version};
use axum::routing::{get, post};
use futures_util::{StreamExt as _, stream};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use service::http::{Limits, Listener, with_standard_layers};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::bodies::counted;
use crate::{Clock, Gate, Server, pass};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// `GET /`, packed: its parts stand in the static table.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'x'];

type Client = (SendRequest<Body>, JoinHandle<hyper::Result<()>>);

async fn connect(server: &Server) -> Client {
    let io = TokioIo::new(server.connect().await);
    let (sender, connection) = handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
    (sender, tokio::spawn(connection))
}

async fn start(path: &str) -> Server {
    service::telemetry::metrics();
    let version = async |version: Version| format!("{version:?}");
    let routes = Router::new().route("/", get(version)).route(path, post(async |body: Bytes| body));
    Server::start(with_standard_layers(routes, Listener::Public, Limits::default())).await
}

async fn text(response: Response<Incoming>) -> String {
    let body = to_bytes(Body::new(response.into_body()), 1 << 20).await.expect("a body");
    String::from_utf8(body.to_vec()).expect("text")
}

fn ask(method: &str, path: &str, body: Body) -> Request<Body> {
    let url = format!("http://payrelay{path}");
    Request::builder().method(method).uri(url).body(body).expect("a request")
}

/// A body of which half comes, and then nothing, or a failure.
fn half(then_fails: bool) -> Body {
    let first = stream::iter([Ok(Bytes::from("half"))]);
    if then_fails {
        return Body::from_stream(first.chain(stream::iter([Err(io::Error::other("on purpose"))])));
    }
    Body::from_stream(first.chain(stream::pending::<io::Result<Bytes>>()))
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Reads one frame: its kind, stream and payload.
async fn read_frame(stream: &mut TcpStream) -> io::Result<(u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut payload).await?;
    Ok((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
}

/// The reason and the last stream of a GOAWAY.
fn goodbye(payload: &[u8]) -> (u32, u32) {
    let number =
        |at: usize| u32::from_be_bytes([payload[at], payload[at + 1], payload[at + 2], payload[at + 3]]);
    (number(4), number(0))
}

#[tokio::test]
async fn both_protocols_are_served_on_one_port() {
    let server = start("/both").await;
    let (mut sender, _connection) = connect(&server).await;
    for _ in 0..2 {
        let response = sender.send_request(ask("GET", "/", Body::empty())).await.expect("an answer");
        assert!(!response.headers().contains_key("connection"));
        assert_eq!(text(response).await, "HTTP/2.0");
    }
    assert_eq!(server.get("/").await.text().await.expect("text"), "HTTP/1.1");
    let many = (0..300).map(|_| sender.send_request(ask("POST", "/both", Body::from("x".repeat(9000)))));
    for response in futures_util::future::join_all(many.collect::<Vec<_>>()).await {
        assert_eq!(text(response.expect("an answer")).await.len(), 9000);
    }
}

#[tokio::test]
async fn the_bounds_of_a_connection_are_announced() {
    let server = start("/bounds").await;
    let mut stream = server.connect().await;
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.expect("sent");
    let (kind, _, settings) = read_frame(&mut stream).await.expect("a frame");
    assert_eq!(kind, SETTINGS);
    let told: Vec<_> = settings
        .chunks(6)
        .map(|setting| {
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            (u16::from_be_bytes([setting[0], setting[1]]), value)
        })
        .collect();
    // Streams, window of a stream, list of headers.
    for bound in [(3, 100), (4, 64 * 1024), (6, 32 * 1024)] {
        assert!(told.contains(&bound), "{bound:?} is not in {told:?}");
    }
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let server = start("/rapid").await;
    let mut stream = server.connect().await;
    let mut flood = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    for id in (1..4000).step_by(2) {
        // END_HEADERS and END_STREAM
        flood.extend(frame(HEADERS, 5, id, GET));
        flood.extend(frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
    }
    // It may be cut off on the way.
    let _sent = stream.write_all(&flood).await;
    let mut reason = None;
    while let Ok((kind, _, payload)) = read_frame(&mut stream).await {
        if kind == GOAWAY {
            reason = Some(goodbye(&payload).0);
        }
    }
    assert_eq!(reason, Some(ENHANCE_YOUR_CALM));
    assert_eq!(server.get("/").await.status(), 200, "nobody else is concerned");
}

#[tokio::test]
async fn an_idle_connection_is_given_up_and_nothing_is_lost() {
    let server = start("/idle").await;
    let (mut sender, connection) = connect(&server).await;
    let asked = async |sender: &mut SendRequest<Body>| {
        let response = sender.send_request(ask("GET", "/", Body::empty())).await.expect("an answer");
        text(response).await
    };
    asked(&mut sender).await;
    let _clock = Clock::stop();
    for _ in 0..3 {
        pass(&server, 74).await;
        asked(&mut sender).await;
    }
    assert!(!connection.is_finished());
    pass(&server, 76).await;
    connection.await.expect("no panic").expect("an end");
}

/// Reads frames until one of this kind comes, on this stream; answers pings.
async fn until(stream: &mut TcpStream, kind: u8, id: u32) -> Vec<u8> {
    loop {
        let (read, of, payload) = read_frame(stream).await.expect("a frame");
        if read == PING {
            stream.write_all(&frame(PING, 1, 0, &payload)).await.expect("sent");
        }
        if (read, of) == (kind, id) {
            return payload;
        }
    }
}

#[tokio::test]
async fn a_drain_sends_clients_to_new_connections_and_loses_no_request() {
    let gate = Gate::new();
    let routes = gate.routes().route("/", get(async || "quick"));
    let server = Server::start(with_standard_layers(routes, Listener::Public, Limits::default())).await;
    let mut stream = server.connect().await;
    let slow = [&[0x82, 0x86, 0x41, 1, b'x', 0x44, 5], b"/slow".as_slice()].concat();
    let opening = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, 5, 1, &slow)].concat();
    stream.write_all(&opening).await.expect("sent");
    gate.entered().await;

    server.draining.cancel();
    let (_, last) = loop {
        // Its ping is not answered yet: until then the server takes requests that were on their way.
        let (kind, _, payload) = read_frame(&mut stream).await.expect("a frame");
        if kind == GOAWAY {
            break goodbye(&payload);
        }
    };
    assert_eq!(last, u32::MAX >> 1);
    stream.write_all(&frame(HEADERS, 5, 3, GET)).await.expect("sent");
    until(&mut stream, HEADERS, 3).await;
    let (mut new, new_connection) = connect(&server).await;
    let quick = new.send_request(ask("GET", "/", Body::empty())).await.expect("an answer");
    assert_eq!(text(quick).await, "quick", "who has not noticed yet is served");
    let ended = timeout(Duration::from_secs(5), new_connection).await.expect("and told to go");
    ended.expect("no panic").expect("an end");

    server.cancel.cancel();
    gate.open();
    until(&mut stream, HEADERS, 1).await;
    drop(stream);
    timeout(Duration::from_secs(5), server.served).await.expect("it stops").expect("no panic");
}

#[tokio::test]
async fn a_body_that_is_silent_is_408_and_one_that_is_reset_no_failure_of_ours() {
    let server = start("/half").await;
    let (mut sender, _connection) = connect(&server).await;
    let reset = sender.send_request(ask("POST", "/half", half(true))).await;
    assert!(reset.is_err(), "{reset:?}");
    let silent = sender.send_request(ask("POST", "/half", half(false)));
    let quick = sender.send_request(ask("POST", "/half", Body::from("whole")));
    assert_eq!(text(quick.await.expect("an answer")).await, "whole");
    let _clock = Clock::stop();
    pass(&server, 31).await;
    let silent = silent.await.expect("an answer");
    assert_eq!(silent.status(), 408);
    assert!(text(silent).await.contains("body_incomplete"));
    let whole = sender.send_request(ask("POST", "/half", Body::from("whole"))).await.expect("an answer");
    assert_eq!(text(whole).await, "whole", "the connection lives");
    let counted = counted("/half");
    assert!(counted.iter().all(|status| ["200", "408"].contains(&status.as_str())), "{counted:?}");
}
