//! The merchants: endpoints in this process that verify every webhook as a merchant would, and note it in the book.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::serve::ListenerExt;
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use webhooks::{Headers, VerifyingKey};

use crate::book::Book;
use crate::payments;

/// The endpoints of all merchants.
#[derive(Debug)]
pub(crate) struct Merchants {
    address: SocketAddr,
    state: Arc<Books>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Books {
    book: Arc<Book>,
    /// By the number of the merchant.
    keys: RwLock<Vec<Option<VerifyingKey>>>,
}

/// The part of a webhook that says which payment it tells of.
#[derive(Deserialize)]
struct Webhook<'a> {
    #[serde(borrow)]
    data: WebhookData<'a>,
}

#[derive(Deserialize)]
struct WebhookData<'a> {
    order_no: &'a str,
    merchant_id: &'a str,
    amount_minor: i64,
}

impl Merchants {
    /// Listens on a free port of loopback.
    pub(crate) async fn start(book: Arc<Book>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("the merchants cannot listen")?;
        let address = listener.local_addr()?;
        let state = Arc::new(Books { book, keys: RwLock::new(vec![None; payments::MERCHANTS]) });
        let router = Router::new()
            .route("/webhooks/{merchant}", post(receive))
            .route("/hanging", post(hang))
            .route("/failing", post(async || StatusCode::SERVICE_UNAVAILABLE))
            .with_state(Arc::clone(&state));
        // Only costs latency when it fails.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let server = tokio::spawn(async move {
            // It ends with this process only.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, state, server })
    }

    /// The URL of a merchant.
    pub(crate) fn url(&self, merchant: usize) -> String {
        format!("http://{}/webhooks/{merchant}", self.address)
    }

    /// An endpoint that answers nobody in time.
    pub(crate) fn hanging_url(&self) -> String {
        format!("http://{}/hanging", self.address)
    }

    /// An endpoint that refuses everything.
    pub(crate) fn failing_url(&self) -> String {
        format!("http://{}/failing", self.address)
    }

    /// Takes the key by which a merchant verifies.
    pub(crate) fn register(&self, merchant: usize, key: VerifyingKey) {
        let mut keys = self.state.keys.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = keys.get_mut(merchant) {
            *slot = Some(key);
        }
    }
}

impl Drop for Merchants {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn receive(
    State(books): State<Arc<Books>>,
    Path(merchant): Path<usize>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    match books.verified(merchant, &headers, &body) {
        Some(index) => books.book.deliver(index),
        None => books.book.forge(),
    }
    StatusCode::NO_CONTENT
}

/// Longer than the notifier waits.
async fn hang() -> StatusCode {
    tokio::time::sleep(Duration::from_secs(11)).await;
    StatusCode::NO_CONTENT
}

impl Books {
    /// The payment that an authentic webhook tells of.
    fn verified(&self, merchant: usize, headers: &HeaderMap, body: &[u8]) -> Option<usize> {
        let signed = Headers::from_lookup(|name| headers.get(name)?.to_str().ok());
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.get(merchant)?.as_ref()?;
        let now = OffsetDateTime::now_utc().unix_timestamp();
        webhooks::verify(std::slice::from_ref(key), &signed, body, now).ok()?;
        let Webhook { data } = serde_json::from_slice(body).ok()?;
        let index = payments::index_of(data.order_no)?;
        let right = data.amount_minor == payments::amount_minor(index)
            && data.merchant_id == payments::merchant_id(index)
            && index % payments::MERCHANTS == merchant;
        right.then_some(index)
    }
}
