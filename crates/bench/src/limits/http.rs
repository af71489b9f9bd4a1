//! HTTP alone: a callback in and a webhook out, signed and verified, over kept connections.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::serve::ListenerExt;
use reqwest::Client;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use webhooks::{Headers, ID_HEADER, SIGNATURE_HEADER, Secret, TIMESTAMP_HEADER, VerifyingKey};

use super::{Cost, Extent, Meter};
use crate::book::Book;
use crate::load::{Callbacks, Load, Pace};
use crate::merchant::Merchants;
use crate::payments::{CallbackMaker, MERCHANTS, amount_minor, merchant_id, order_no, pay_order_no};

const CONNECTIONS: usize = 64;
/// So many are made ready for each second; when they are used up, the measurement ends.
const READY_PER_S: usize = 60_000;

/// Both ways of a payment, one after the other; or the callback alone.
pub(super) async fn measure(extent: Extent, duration: Duration) -> Result<Cost> {
    let half = duration / 2;
    let payments = READY_PER_S * usize::try_from(half.as_secs().max(1))?;
    if extent == Extent::Accepted {
        return callbacks_in(half, payments).await;
    }
    let (callback, webhook) = (callbacks_in(half, payments).await?, webhooks_out(half, payments).await?);
    Ok(Cost {
        per_second: 1.0 / (1.0 / callback.per_second + 1.0 / webhook.per_second),
        server: callback.server + webhook.server,
        own: callback.own + webhook.own,
    })
}

/// The load generator's callbacks to a server that verifies them and does nothing else.
async fn callbacks_in(duration: Duration, payments: usize) -> Result<Cost> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let secret = Secret::generate([3; 32]);
    let router = Router::new()
        .route("/v1/callbacks/{account}", post(receive))
        .with_state(Arc::new(secret.verifying_key()));
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await });

    let maker = CallbackMaker { host: address.to_string(), secret };
    let callbacks = Callbacks::signed(&maker, 0..payments)?;
    let book = Arc::new(Book::open(payments));
    let meter = Meter::start(Vec::new(), "")?;
    let pace = Pace::Closed { duration, bounded: false };
    Load::start(address, CONNECTIONS, callbacks, &book, pace).await?.finish().await?;
    meter.stop(usize::try_from(book.accepted())?)
}

async fn receive(
    State(key): State<Arc<VerifyingKey>>,
    Path(_account): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let signed = Headers::from_lookup(|name| headers.get(name)?.to_str().ok());
    let now = OffsetDateTime::now_utc().unix_timestamp();
    match webhooks::verify(std::slice::from_ref(&*key), &signed, &body, now) {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::UNAUTHORIZED,
    }
}

/// Webhooks signed and posted by the client that the notifier has, to the merchants of the bench.
async fn webhooks_out(duration: Duration, payments: usize) -> Result<Cost> {
    let book = Arc::new(Book::open(payments));
    let merchants = Merchants::start(Arc::clone(&book)).await?;
    let secret = Secret::generate([5; 32]);
    for merchant in 0..MERCHANTS {
        merchants.register(merchant, secret.verifying_key());
    }
    let urls: Arc<[String]> = (0..MERCHANTS).map(|merchant| merchants.url(merchant)).collect();
    let http = transport::http_client().build()?;
    let meter = Meter::start(Vec::new(), "")?;
    let deadline = Instant::now() + duration;
    let mut senders = JoinSet::new();
    for sender in 0..CONNECTIONS {
        let (http, urls, secret) = (http.clone(), Arc::clone(&urls), secret.clone());
        senders.spawn(async move {
            for index in (sender..payments).step_by(CONNECTIONS) {
                if Instant::now() >= deadline {
                    break;
                }
                post_webhook(&http, &urls[index % MERCHANTS], &secret, index).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = senders.join_next().await {
        ended.context("a sender panicked")??;
    }
    meter.stop(usize::try_from(book.delivered())?)
}

async fn post_webhook(http: &Client, url: &str, secret: &Secret, index: usize) -> Result<()> {
    let (merchant, order, pay_order) = (merchant_id(index), order_no(index), pay_order_no(index));
    let body = format!(
        r#"{{"type":"pay.success","timestamp":"2026-01-01T00:00:00.123456Z","data":{{"pay_order_no":"{pay_order}","order_no":"{order}","merchant_id":"{merchant}","amount_minor":{},"currency":"CNY","refunded_minor":0,"status":"TRADE_SUCCESS","version":2,"channel":"standard_bench","channel_trade_no":"T{index:010}","paid_at":"2026-01-01T00:00:00Z","attach":"buyer={index}"}}}}"#,
        amount_minor(index),
    );
    let (id, now) = (uuid::Uuid::now_v7().to_string(), OffsetDateTime::now_utc().unix_timestamp());
    let signature = webhooks::sign(std::slice::from_ref(secret), &id, now, body.as_bytes())?;
    let request = http
        .post(url)
        .header("content-type", "application/json")
        .header(ID_HEADER, &id)
        .header(TIMESTAMP_HEADER, now)
        .header(SIGNATURE_HEADER, signature);
    request.body(body).send().await?.error_for_status()?;
    Ok(())
}
