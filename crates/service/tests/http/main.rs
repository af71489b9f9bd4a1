//! The listeners, over real connections.

mod admin;
mod drain;
mod problems;
mod requests;
mod starting;

use std::net::SocketAddr;

use axum::Router;
use serde_json::Value;
use service::http::{bind, serve};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A router that is served on a free port until the test ends.
struct Server {
    address: SocketAddr,
    cancel: CancellationToken,
    served: JoinHandle<()>,
    client: reqwest::Client,
}

impl Server {
    async fn start(router: Router) -> Self {
        service::tls::install();
        let listener = bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let cancel = CancellationToken::new();
        let served = tokio::spawn(serve(listener, router, cancel.clone()));
        Self { address, cancel, served, client: reqwest::Client::new() }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.client.get(self.url(path)).send().await.expect("an answer")
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
