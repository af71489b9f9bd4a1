//! The baseline's HTTP: one transaction, one publish and one confirm for each callback.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use messaging::EXCHANGE;
use serde::Deserialize;
use storage::Database;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use uuid::Uuid;
use webhooks::{Headers, Secret, VerifyingKey};

use super::{Paid, ROUTING_KEY};

const LOCK: &str =
    "SELECT merchant_id, order_no, amount_minor, status FROM pay_orders WHERE pay_order_no = $1 FOR UPDATE";
const PAY: &str = "UPDATE pay_orders SET status = 'TRADE_SUCCESS', channel_trade_no = $2, paid_at = now() WHERE pay_order_no = $1";
const CALLBACK: &str = "INSERT INTO callbacks (callback_id, pay_order_no, body) VALUES ($1, $2, $3)";
const EVENT: &str = "INSERT INTO events (event_id, pay_order_no, payload) VALUES ($1, $2, $3)";

struct App {
    database: Database,
    /// One for all requests, as tutorials have it.
    channel: Channel,
    key: VerifyingKey,
}

#[derive(Deserialize)]
struct Callback {
    data: CallbackData,
}

#[derive(Deserialize)]
struct CallbackData {
    pay_order_no: String,
    channel_trade_no: String,
    amount_minor: i64,
}

/// Serves for as long as the process lives.
pub(super) async fn serve(
    address: SocketAddr,
    database: Database,
    connection: &Connection,
    secret: Secret,
) -> Result<()> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let app = Arc::new(App { database, channel, key: secret.verifying_key() });
    let router = Router::new()
        .route("/readyz", get(async || StatusCode::OK))
        .route("/v1/callbacks/{account}", post(receive))
        .with_state(app);
    let listener = TcpListener::bind(address).await?.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, router).await.context("the baseline's HTTP")
}

async fn receive(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let signed = Headers::from_lookup(|name| headers.get(name)?.to_str().ok());
    let now = OffsetDateTime::now_utc().unix_timestamp();
    if webhooks::verify(std::slice::from_ref(&app.key), &signed, &body, now).is_err() {
        return (StatusCode::UNAUTHORIZED, String::new());
    }
    match app.take(&body).await {
        Ok(()) => (StatusCode::NO_CONTENT, String::new()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}")),
    }
}

impl App {
    async fn take(&self, body: &[u8]) -> Result<()> {
        let callback: Callback = serde_json::from_slice(body)?;
        if let Some(paid) = self.write(&callback.data, body).await? {
            self.publish(&paid).await?;
        }
        Ok(())
    }

    /// The transaction; `None` if it is paid already.
    async fn write(&self, callback: &CallbackData, body: &[u8]) -> Result<Option<Paid>> {
        let number = &callback.pay_order_no;
        let mut client = self.database.client().await?;
        let tx = client.transaction().await?;
        let row = tx.query_one(&tx.prepare_cached(LOCK).await?, &[number]).await?;
        if row.try_get::<_, String>("status")? == "TRADE_SUCCESS" {
            return Ok(None);
        }
        let paid = Paid {
            event_id: Uuid::now_v7(),
            merchant_id: row.try_get("merchant_id")?,
            order_no: row.try_get("order_no")?,
            pay_order_no: number.clone(),
            amount_minor: row.try_get("amount_minor")?,
        };
        ensure!(paid.amount_minor == callback.amount_minor, "another amount");
        tx.execute(&tx.prepare_cached(PAY).await?, &[number, &callback.channel_trade_no]).await?;
        tx.execute(&tx.prepare_cached(CALLBACK).await?, &[&Uuid::now_v7(), number, &body]).await?;
        let payload = serde_json::to_vec(&paid)?;
        tx.execute(&tx.prepare_cached(EVENT).await?, &[&paid.event_id, number, &payload]).await?;
        tx.commit().await?;
        Ok(Some(paid))
    }

    async fn publish(&self, paid: &Paid) -> Result<()> {
        let body = serde_json::to_vec(paid)?;
        let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/json".into())
            .with_message_id(paid.event_id.to_string().into());
        let (exchange, key) = (EXCHANGE.into(), ROUTING_KEY.into());
        let confirm = self.channel.basic_publish(exchange, key, mandatory, &body, properties).await?.await?;
        ensure!(matches!(confirm, Confirmation::Ack(None)), "not taken: {confirm:?}");
        Ok(())
    }
}
