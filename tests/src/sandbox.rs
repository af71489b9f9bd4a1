//! The merchants' endpoints.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::time::sleep;
use webhooks::{Headers, VerifyingKey};

use crate::Merchant;

/// How often a merchant that does not answer looks whether it shall.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How a merchant answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// With this HTTP status, at once.
    Status(u16),
    /// With 503 to every third attempt, with 204 to the others.
    SometimesFails,
    /// Not at all, until it is told to answer otherwise.
    Never,
}

/// An attempt at a webhook, verified with its merchant's key.
#[derive(Debug, Clone)]
pub struct Received {
    /// The merchant called.
    pub merchant_id: String,
    /// The header `webhook-id`.
    pub webhook_id: String,
    /// The header `traceparent`.
    pub traceparent: String,
    /// When it came in.
    pub at: OffsetDateTime,
    /// The body.
    pub body: Value,
    /// The HTTP status of the answer; `None` until there is one.
    pub reply: Option<u16>,
}

impl Received {
    /// The `type` of the body, such as `pay.success`.
    pub fn event_type(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default()
    }

    /// The `order_no` of the body.
    pub fn order_no(&self) -> &str {
        self.body["data"]["order_no"].as_str().unwrap_or_default()
    }

    /// Whether the merchant has acknowledged it.
    pub fn is_acknowledged(&self) -> bool {
        self.reply.is_some_and(|status| (200..300).contains(&status))
    }
}

#[derive(Debug, Default)]
struct Books {
    keys: HashMap<String, VerifyingKey>,
    replies: HashMap<String, Reply>,
    /// Shared with those who look again and again: a copy of all bodies each time would take longer than the services.
    received: Vec<Arc<Received>>,
    /// What did not verify, and why.
    refused: Vec<String>,
}

/// The endpoints of all merchants of a scenario.
#[derive(Debug, Clone)]
pub struct Sandbox {
    url: String,
    books: Arc<Mutex<Books>>,
}

impl Sandbox {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let sandbox = Self { url, books: Arc::default() };
        let router = Router::new().route("/{merchant_id}", post(receive)).with_state(sandbox.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        sandbox
    }

    /// Where this merchant's webhooks go.
    pub fn url(&self, merchant_id: &str) -> String {
        format!("{}/{merchant_id}", self.url)
    }

    /// From now on the merchant's webhooks can be verified, and are acknowledged at once.
    pub fn register(&self, merchant: &Merchant) {
        self.books().keys.insert(merchant.id.clone(), merchant.key.clone());
    }

    /// From now on the merchant answers so.
    pub fn reply(&self, merchant_id: &str, reply: Reply) {
        self.books().replies.insert(merchant_id.to_owned(), reply);
    }

    /// Every attempt that has come in, in order. Webhooks that did not verify fail the test here.
    pub fn received(&self) -> Vec<Arc<Received>> {
        let refused = self.refused();
        assert!(refused.is_empty(), "webhooks that do not verify: {refused:?}");
        self.verified()
    }

    /// Every attempt that verified, in order.
    pub fn verified(&self) -> Vec<Arc<Received>> {
        self.books().received.clone()
    }

    /// The webhooks that did not verify, each with the merchant called and the reason.
    pub fn refused(&self) -> Vec<String> {
        self.books().refused.clone()
    }

    /// The attempts that were about this order.
    pub fn received_of(&self, order_no: &str) -> Vec<Received> {
        let received = self.received();
        let of_order = received.iter().filter(|received| received.order_no() == order_no);
        of_order.map(|received| received.as_ref().clone()).collect()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn receive(
    State(sandbox): State<Sandbox>,
    Path(merchant_id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let Some(index) = sandbox.books().enter(&merchant_id, &headers, &body) else {
        return StatusCode::BAD_REQUEST;
    };
    loop {
        {
            let mut books = sandbox.books();
            let status = match books.replies.get(&merchant_id).copied().unwrap_or(Reply::Status(204)) {
                Reply::Status(status) => Some(status),
                Reply::SometimesFails => Some(if index % 3 == 0 { 503 } else { 204 }),
                Reply::Never => None,
            };
            if let Some(status) = status {
                Arc::make_mut(&mut books.received[index]).reply = Some(status);
                return StatusCode::from_u16(status).expect("an HTTP status");
            }
        }
        sleep(POLL_INTERVAL).await;
    }
}

impl Books {
    /// Notes an attempt and returns its place, unless it does not verify.
    fn enter(&mut self, merchant_id: &str, headers: &HeaderMap, body: &[u8]) -> Option<usize> {
        match self.verify(merchant_id, headers, body) {
            Ok(received) => self.received.push(Arc::new(received)),
            Err(refused) => {
                self.refused.push(format!("{merchant_id}: {refused}"));
                return None;
            }
        }
        Some(self.received.len() - 1)
    }

    fn verify(&self, merchant_id: &str, headers: &HeaderMap, body: &[u8]) -> Result<Received, String> {
        let header = |name: &str| headers.get(name)?.to_str().ok();
        let key = self.keys.get(merchant_id).ok_or("no such merchant")?;
        let at = OffsetDateTime::now_utc();
        let signed = Headers::from_lookup(header);
        let verified = webhooks::verify(std::slice::from_ref(key), &signed, body, at.unix_timestamp())
            .map_err(|error| error.to_string())?;
        let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if body["data"]["merchant_id"] != merchant_id {
            return Err(format!("told of another merchant: {body}"));
        }
        Ok(Received {
            merchant_id: merchant_id.to_owned(),
            webhook_id: verified.id.to_owned(),
            traceparent: header("traceparent").unwrap_or_default().to_owned(),
            at,
            body,
            reply: None,
        })
    }
}
