//! A merchant on loopback: verifies every webhook, remembers it, and answers as it is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Router, serve};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::time::Instant;
use webhooks::{Headers, VerifyingKey, verify};

use crate::support::eventually;

/// What the merchant answers.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: &'static str,
    pub(crate) header: Option<(&'static str, &'static str)>,
    pub(crate) after: Duration,
}

impl Reply {
    pub(crate) const OK: Self = Self::status(200);

    pub(crate) const fn status(status: u16) -> Self {
        Self { status, body: "", header: None, after: Duration::ZERO }
    }
}

/// A webhook whose signature was right.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) id: String,
    pub(crate) timestamp: i64,
    pub(crate) at: Instant,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Received {
    pub(crate) fn order_no(&self) -> &str {
        self.body["data"]["order_no"].as_str().unwrap()
    }
}

type Script = Box<dyn Fn(usize) -> Reply + Send>;

#[derive(Default)]
struct Inbox {
    keys: Vec<VerifyingKey>,
    received: Vec<Received>,
    forged: usize,
    script: Option<Script>,
}

/// A merchant and its inbox.
#[derive(Clone)]
pub(crate) struct Merchant {
    pub(crate) url: String,
    inbox: Arc<Mutex<Inbox>>,
}

impl Merchant {
    /// Listens; answers the n-th webhook (from 0) as the script says.
    pub(crate) async fn start(script: impl Fn(usize) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/notify", listener.local_addr().unwrap());
        let inbox = Arc::new(Mutex::new(Inbox { script: Some(Box::new(script)), ..Inbox::default() }));
        let router = Router::new().route("/notify", post(receive)).with_state(Arc::clone(&inbox));
        tokio::spawn(serve(listener, router).into_future());
        Self { url, inbox }
    }

    /// The key of its secret, without which it takes everything for forged.
    pub(crate) fn trust(&self, key: VerifyingKey) {
        self.inbox.lock().unwrap().keys = vec![key];
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        let inbox = self.inbox.lock().unwrap();
        assert_eq!(inbox.forged, 0, "webhooks with a wrong signature");
        inbox.received.clone()
    }

    /// Waits until so many webhooks have come, and shows them.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Received> {
        eventually("webhooks", async || Some(self.received()).filter(|received| received.len() >= count))
            .await
    }
}

async fn receive(State(inbox): State<Arc<Mutex<Inbox>>>, headers: HeaderMap, body: Bytes) -> Response {
    let reply = {
        let mut inbox = inbox.lock().unwrap();
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let lookup = Headers::from_lookup(|name| headers.get(name).and_then(|value| value.to_str().ok()));
        let Ok(verified) = verify(&inbox.keys, &lookup, &body, now) else {
            inbox.forged += 1;
            return StatusCode::UNAUTHORIZED.into_response();
        };
        let received = Received {
            id: verified.id.to_owned(),
            timestamp: verified.timestamp,
            at: Instant::now(),
            body: serde_json::from_slice(&body).unwrap(),
            headers: headers.clone(),
        };
        inbox.received.push(received);
        inbox.script.as_ref().unwrap()(inbox.received.len() - 1)
    };
    tokio::time::sleep(reply.after).await;
    let mut response = (StatusCode::from_u16(reply.status).unwrap(), reply.body).into_response();
    if let Some((name, value)) = reply.header {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}
