//! The merchants' side: endpoints that verify every webhook as a merchant would, and remember what they were told.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context;
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use webhooks::{Headers, VerifyingKey};

use super::plan::{Behaviour, MERCHANTS};

/// What a merchant was told, in a webhook that verified.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ToldWebhook {
    pub(super) merchant_id: String,
    pub(super) order_no: String,
    pub(super) event_type: String,
    pub(super) version: i64,
    pub(super) amount_minor: i64,
}

/// The endpoints of all merchants of the demo.
#[derive(Clone)]
pub(super) struct Sandbox {
    address: SocketAddr,
    state: Arc<Mutex<Books>>,
}

#[derive(Default)]
struct Books {
    keys: HashMap<String, VerifyingKey>,
    down: bool,
    /// Distinct `webhook-id`s under which each thing was told; more than one is a doubled notification.
    told: HashMap<ToldWebhook, Vec<String>>,
    forged: u64,
    refused_while_down: u64,
    repeated: u64,
}

#[derive(Deserialize)]
struct Webhook {
    #[serde(rename = "type")]
    event_type: String,
    data: WebhookData,
}

#[derive(Deserialize)]
struct WebhookData {
    merchant_id: String,
    order_no: String,
    version: i64,
    amount_minor: i64,
}

impl Sandbox {
    /// Listens on a free port of loopback.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("the sandbox cannot listen")?;
        let books = Books { down: true, ..Books::default() };
        let sandbox = Self { address: listener.local_addr()?, state: Arc::new(Mutex::new(books)) };
        let router =
            Router::new().route("/webhooks/{merchant_id}", post(receive)).with_state(sandbox.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(sandbox)
    }

    /// Where a merchant's webhooks go.
    pub(super) fn url(&self, merchant_id: &str) -> String {
        format!("http://{}/webhooks/{merchant_id}", self.address)
    }

    /// Takes the key by which a merchant verifies.
    pub(super) fn register(&self, merchant_id: &str, key: VerifyingKey) {
        self.books().keys.insert(merchant_id.to_owned(), key);
    }

    /// Brings the merchant up that was down at first.
    pub(super) fn recover(&self) {
        self.books().down = false;
    }

    /// Everything that was told, with the number of distinct `webhook-id`s under which it was.
    pub(super) fn told(&self) -> HashMap<ToldWebhook, usize> {
        self.books().told.iter().map(|(told, ids)| (told.clone(), ids.len())).collect()
    }

    /// Webhooks whose signature or body was wrong.
    pub(super) fn forged(&self) -> u64 {
        self.books().forged
    }

    /// Webhooks that were answered with 503.
    pub(super) fn refused_while_down(&self) -> u64 {
        self.books().refused_while_down
    }

    /// Webhooks that came again under the same `webhook-id`, which a merchant drops.
    pub(super) fn repeated(&self) -> u64 {
        self.books().repeated
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn receive(
    State(sandbox): State<Sandbox>,
    Path(merchant_id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let behaviour =
        MERCHANTS.iter().find(|merchant| merchant.id == merchant_id).map(|merchant| merchant.behaviour);
    if let Some(Behaviour::Slow(delay)) = behaviour {
        tokio::time::sleep(delay).await;
    }
    let mut books = sandbox.books();
    if behaviour == Some(Behaviour::DownAtFirst) && books.down {
        books.refused_while_down += 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let Some((id, told)) = books.verified(&merchant_id, &headers, &body) else {
        books.forged += 1;
        return StatusCode::BAD_REQUEST;
    };
    books.note(id, told)
}

impl Books {
    fn verified(&self, merchant_id: &str, headers: &HeaderMap, body: &[u8]) -> Option<(String, ToldWebhook)> {
        let signed = Headers::from_lookup(|name| headers.get(name)?.to_str().ok());
        let keys = std::slice::from_ref(self.keys.get(merchant_id)?);
        let id = webhooks::verify(keys, &signed, body, OffsetDateTime::now_utc().unix_timestamp()).ok()?.id;
        let Webhook { event_type, data } = serde_json::from_slice(body).ok()?;
        let WebhookData { order_no, version, amount_minor, .. } = data;
        let told =
            ToldWebhook { merchant_id: merchant_id.to_owned(), order_no, event_type, version, amount_minor };
        (data.merchant_id == merchant_id).then(|| (id.to_owned(), told))
    }

    fn note(&mut self, id: String, told: ToldWebhook) -> StatusCode {
        let ids = self.told.entry(told).or_default();
        if ids.contains(&id) {
            self.repeated += 1;
        } else {
            ids.push(id);
        }
        StatusCode::NO_CONTENT
    }
}
