//! The listeners, over real connections.

mod admin;
mod bodies;
mod connections;
mod drain;
mod http2;
mod problems;
mod requests;
mod starting;

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use futures_util::FutureExt as _;
use serde_json::Value;
use service::http::{Patience, Stop, bind, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{advance, pause, resume};
use tokio_util::sync::CancellationToken;

/// A router that is served on a free port until the test ends.
struct Server {
    address: SocketAddr,
    draining: CancellationToken,
    cancel: CancellationToken,
    served: JoinHandle<()>,
    client: reqwest::Client,
}

impl Server {
    async fn start(router: Router) -> Self {
        service::tls::install();
        let listener = bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (draining, cancel) = (CancellationToken::new(), CancellationToken::new());
        let stop = Stop { draining: draining.clone(), closing: cancel.clone() };
        let served = tokio::spawn(serve(listener, router, Patience::default(), stop));
        let client = transport::http_client().build().expect("a client");
        Self { address, draining, cancel, served, client }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.client.get(self.url(path)).send().await.expect("an answer")
    }
}

/// A handler that a test lets go on: whoever asks it hears `done` once the gate is opened.
struct Gate {
    entered: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    fn new() -> Self {
        Self { entered: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) }
    }

    /// `/slow`, which waits.
    fn routes(&self) -> Router {
        let (entered, open) = (Arc::clone(&self.entered), Arc::clone(&self.open));
        let slow = move || {
            entered.add_permits(1);
            async move {
                open.acquire().await.expect("never closed").forget();
                "done"
            }
        };
        Router::new().route("/slow", get(slow))
    }

    /// Waits for a request.
    async fn entered(&self) {
        self.entered.acquire().await.expect("never closed").forget();
    }

    /// Lets one request go on.
    fn open(&self) {
        self.open.add_permits(1);
    }
}

/// Checks the form of a problem document and returns its code and detail.
async fn problem(response: reqwest::Response) -> (u16, String, String) {
    let status = response.status();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let document: Value = response.json().await.expect("JSON");
    assert_eq!(document["type"], "about:blank");
    assert_eq!(document["title"], status.canonical_reason().expect("a known status"));
    assert_eq!(document["status"], status.as_u16());
    let text = |name: &str| document[name].as_str().expect(name).to_owned();
    (status.as_u16(), text("code"), text("detail"))
}

/// Stops the clock: while this lives only [`advance`] moves it, and sockets work as ever. (A paused clock would else jump
/// whenever a socket is waited for.)
struct Clock(#[expect(dead_code, reason = "it ends the thread that holds the clock")] mpsc::Sender<()>);

impl Clock {
    fn stop() -> Self {
        pause();
        let (keep, held) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || held.recv());
        Self(keep)
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        resume();
    }
}

/// Moves the clock second by second, after the server has read what came, and until it has done what follows: a request of another
/// connection shows that.
async fn pass(server: &Server, seconds: u64) {
    server.get("/").await;
    for _ in 0..seconds {
        advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    server.get("/").await;
}

/// Whether nothing has come, the end neither.
fn is_open(stream: &TcpStream) -> bool {
    stream.peek(&mut [0]).now_or_never().is_none()
}

/// Sends bytes as they are.
async fn send(stream: &mut TcpStream, bytes: &str) {
    stream.write_all(bytes.as_bytes()).await.expect("sent");
}

/// Reads one answer, whose body is whole once it ends so.
async fn answer(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        assert_ne!(stream.read_buf(&mut read).await.expect("an answer"), 0, "closed after {read:?}");
    }
    String::from_utf8(read).expect("text")
}

/// Reads until the connection ends.
async fn rest(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.expect("an end");
    String::from_utf8(read).expect("text")
}
