//! A load balancer as they stand before services: it follows readiness, keeps connections, and repeats nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use reqwest::Client;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::http::http_client;
use crate::service::Service;
use crate::until;

/// Between two looks at a replica's readiness.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// A port of loopback behind which replicas take turns. Dropping it ends it.
#[derive(Debug)]
pub struct Balancer {
    /// Where it listens.
    pub url: String,
    replicas: Arc<Replicas>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Replicas {
    urls: Vec<(String, String)>,
    ready: Mutex<Vec<bool>>,
    turn: AtomicUsize,
    http: Client,
}

impl Balancer {
    /// Stands before `services`, and knows yet of none that it is ready.
    pub async fn start(services: &[Service]) -> Self {
        let urls = services.iter().map(|service| (service.url.clone(), service.admin_url.clone())).collect();
        let replicas = Arc::new(Replicas {
            urls,
            ready: Mutex::new(vec![false; services.len()]),
            turn: AtomicUsize::default(),
            http: http_client(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(forward).with_state(Arc::clone(&replicas));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        for replica in 0..services.len() {
            tasks.spawn(Arc::clone(&replicas).probe(replica));
        }
        Self { url, replicas, _tasks: tasks }
    }

    /// Waits until it takes so many replicas for ready.
    pub async fn knows(&self, count: usize) {
        until("balancer that knows its replicas", async || {
            let ready = self.replicas.ready();
            if ready.iter().filter(|ready| **ready).count() == count {
                Ok(())
            } else {
                Err(format!("{ready:?}"))
            }
        })
        .await;
    }
}

impl Replicas {
    async fn probe(self: Arc<Self>, replica: usize) {
        let url = format!("{}/readyz", self.urls[replica].1);
        loop {
            let answer = self.http.get(&url).send().await;
            let ready = answer.is_ok_and(|answer| answer.status().is_success());
            self.ready.lock().unwrap_or_else(PoisonError::into_inner)[replica] = ready;
            sleep(PROBE_INTERVAL).await;
        }
    }

    fn ready(&self) -> Vec<bool> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next that is ready.
    fn next(&self) -> Option<&str> {
        let (ready, turn) = (self.ready(), self.turn.fetch_add(1, Ordering::Relaxed));
        let mut turns = (0..ready.len()).map(|step| (turn + step) % ready.len());
        turns.find(|replica| ready[*replica]).map(|replica| self.urls[replica].0.as_str())
    }
}

async fn forward(
    State(replicas): State<Arc<Replicas>>,
    (method, uri): (Method, Uri),
    mut headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(replica) = replicas.next() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "no replica is ready").into_response();
    };
    for name in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    let request = replicas.http.request(method, format!("{replica}{uri}")).headers(headers).body(body);
    match request.send().await {
        Ok(answer) => (answer.status(), answer.bytes().await.unwrap_or_default()).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:?}")).into_response(),
    }
}
