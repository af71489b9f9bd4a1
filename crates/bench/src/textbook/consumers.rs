//! The baseline's consumers: one transaction and one acknowledgement for each message, the webhook posted in between.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use messaging::Broker;
use reqwest::Client;
use serde_json::json;
use storage::Database;
use time::OffsetDateTime;
use webhooks::{ID_HEADER, SIGNATURE_HEADER, Secret, TIMESTAMP_HEADER};

use super::{NOTIFY_QUEUE, ORDER_QUEUE, Paid};

/// Messages of one queue that are handled side by side: more than one, or it would only wait.
const CONCURRENCY: usize = 16;

const LOCK_ORDER: &str =
    "SELECT status, amount_minor FROM orders WHERE order_no = $1 AND merchant_id = $2 FOR UPDATE";
const PAY_ORDER: &str = "UPDATE orders SET status = 'PAID', pay_order_no = $3, paid_at = now() WHERE order_no = $1 AND merchant_id = $2";
const HANDLED: &str = "INSERT INTO handled (event_id) VALUES ($1)";
const KNOWN: &str = "SELECT 1 FROM notifications WHERE event_id = $1";
const NOTIFIED: &str =
    "INSERT INTO notifications (event_id, merchant_id, order_no, http_status) VALUES ($1, $2, $3, $4)";

#[derive(Debug)]
struct Worker {
    database: Database,
    http: Client,
    /// Address and secret, read once.
    endpoints: HashMap<String, (String, Secret)>,
}

/// Starts both consumers.
pub(super) async fn start(broker: &Broker, database: &Database) -> Result<()> {
    let worker = Arc::new(Worker {
        database: database.clone(),
        http: transport::http_client().build()?,
        endpoints: endpoints(database).await?,
    });
    let connection = Arc::new(broker.connect().await?);
    for queue in [ORDER_QUEUE, NOTIFY_QUEUE] {
        let channel = connection.create_channel().await?;
        channel.basic_qos(u16::try_from(CONCURRENCY)?, BasicQosOptions::default()).await?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let deliveries = channel.basic_consume(queue.into(), queue.into(), options, arguments).await?;
        let (worker, connection) = (Arc::clone(&worker), Arc::clone(&connection));
        tokio::spawn(async move {
            let _open = (channel, connection);
            let each = |delivery: lapin::Result<Delivery>| {
                let worker = Arc::clone(&worker);
                // What fails is not acknowledged, and the bench misses it.
                async move { drop(worker.handle(queue, delivery).await) }
            };
            deliveries.for_each_concurrent(CONCURRENCY, each).await;
        });
    }
    Ok(())
}

async fn endpoints(database: &Database) -> Result<HashMap<String, (String, Secret)>> {
    let client = database.client().await?;
    let rows = client.query("SELECT merchant_id, url, secret FROM endpoints", &[]).await?;
    let endpoint = |row: &tokio_postgres::Row| {
        let secret = row.try_get::<_, String>(2)?.parse().context("a secret")?;
        Ok((row.try_get(0)?, (row.try_get(1)?, secret)))
    };
    rows.iter().map(endpoint).collect()
}

impl Worker {
    async fn handle(&self, queue: &str, delivery: lapin::Result<Delivery>) -> Result<()> {
        let delivery = delivery?;
        let paid: Paid = serde_json::from_slice(&delivery.data)?;
        if queue == ORDER_QUEUE {
            self.pay(&paid).await?;
        } else {
            self.notify(&paid).await?;
        }
        delivery.ack(BasicAckOptions::default()).await?;
        Ok(())
    }

    async fn pay(&self, paid: &Paid) -> Result<()> {
        let Paid { order_no, merchant_id, .. } = paid;
        let mut client = self.database.client().await?;
        let tx = client.transaction().await?;
        let row = tx.query_one(&tx.prepare_cached(LOCK_ORDER).await?, &[order_no, merchant_id]).await?;
        if row.try_get::<_, String>("status")? == "PAID" {
            return Ok(());
        }
        ensure!(row.try_get::<_, i64>("amount_minor")? == paid.amount_minor, "another amount");
        tx.execute(&tx.prepare_cached(PAY_ORDER).await?, &[order_no, merchant_id, &paid.pay_order_no])
            .await?;
        tx.execute(&tx.prepare_cached(HANDLED).await?, &[&paid.event_id]).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn notify(&self, paid: &Paid) -> Result<()> {
        let mut client = self.database.client().await?;
        let tx = client.transaction().await?;
        if tx.query_opt(&tx.prepare_cached(KNOWN).await?, &[&paid.event_id]).await?.is_some() {
            return Ok(());
        }
        let status = self.post(paid).await?;
        tx.execute(
            &tx.prepare_cached(NOTIFIED).await?,
            &[&paid.event_id, &paid.merchant_id, &paid.order_no, &status],
        )
        .await?;
        tx.commit().await?;
        Ok(())
    }

    async fn post(&self, paid: &Paid) -> Result<i32> {
        let (url, secret) = self.endpoints.get(&paid.merchant_id).context("no endpoint")?;
        let now = OffsetDateTime::now_utc();
        let body = json!({
            "type": "pay.success",
            "timestamp": now.to_string(),
            "data": {
                "pay_order_no": paid.pay_order_no, "order_no": paid.order_no, "merchant_id": paid.merchant_id,
                "amount_minor": paid.amount_minor, "currency": "CNY", "status": "TRADE_SUCCESS",
            },
        })
        .to_string();
        let (id, now) = (paid.event_id.to_string(), now.unix_timestamp());
        let signature = webhooks::sign(std::slice::from_ref(secret), &id, now, body.as_bytes())?;
        let request = self
            .http
            .post(url)
            .header("content-type", "application/json")
            .header(ID_HEADER, &id)
            .header(TIMESTAMP_HEADER, now)
            .header(SIGNATURE_HEADER, signature);
        Ok(request.body(body).send().await?.error_for_status()?.status().as_u16().into())
    }
}
