//! Another publisher to `pay.direct`, with a client of its own.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::caller::Patience;
use crate::history::Outcome;

const PAUSE: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_secs(3);
const ROUTING_KEY: &str = "pay.success";

/// Publishes one message at a time: with several, lapin may hang a returned message onto the confirm of another.
pub(crate) struct Publisher {
    url: String,
    channel: Mutex<Option<(Connection, Channel)>>,
}

/// A message for `pay.success`.
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Publisher {
    pub(crate) fn new(url: String) -> Self {
        Self { url, channel: Mutex::default() }
    }

    /// Repeats a publish until it is confirmed or patience ends.
    pub(crate) async fn publish(&self, patience: Patience, message: &Message) -> Outcome {
        let deadline = Instant::now() + patience.time;
        for attempt in 1.. {
            {
                let mut slot = self.channel.lock().await;
                match timeout(TIMEOUT, self.try_publish(&mut slot, message)).await {
                    Ok(Ok(true)) => return Outcome::Acknowledged,
                    Ok(Ok(false)) => return Outcome::Refused("returned: no queue is bound".to_owned()),
                    // Confirms may be mixed up from here on.
                    Ok(Err(_)) | Err(_) => *slot = None,
                }
            }
            if attempt >= patience.attempts || Instant::now() > deadline {
                break;
            }
            sleep(PAUSE).await;
        }
        Outcome::Unknown
    }

    /// Whether it was routed; confirmed in any case.
    async fn try_publish(&self, slot: &mut Option<(Connection, Channel)>, message: &Message) -> Result<bool> {
        if slot.is_none() {
            let connection = Connection::connect(&self.url, ConnectionProperties::default()).await?;
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            *slot = Some((connection, channel));
        }
        let (_, channel) = slot.as_ref().context("a channel")?;
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type(message.content_type.into())
            .with_message_id(message.id.clone().into());
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let published = channel.basic_publish(
            "pay.direct".into(),
            ROUTING_KEY.into(),
            options,
            &message.body,
            properties,
        );
        match published.await?.await? {
            Confirmation::Ack(None) => Ok(true),
            Confirmation::Ack(Some(_)) => Ok(false),
            other => bail!("not taken: {other:?}"),
        }
    }
}

/// The number of the pay order by which an upstream says that it was paid.
pub(crate) fn pay_order_no(order_no: &str) -> String {
    format!("UP-{order_no}")
}

/// A success of an order, as another system tells it.
pub(crate) fn success(merchant_id: &str, order_no: &str, amount_minor: i64) -> Message {
    let event_id = Uuid::now_v7().to_string();
    let now = OffsetDateTime::now_utc().format(&Rfc3339).map_or(Value::Null, Value::from);
    let event = json!({
        "eventId": event_id, "type": "PAY_EVENT_TYPE_SUCCESS", "merchantId": merchant_id, "orderNo": order_no,
        "payOrderNo": pay_order_no(order_no), "version": "1", "status": "PAY_ORDER_STATUS_TRADE_SUCCESS",
        "purpose": "PURPOSE_ORDER", "amountMinor": amount_minor.to_string(), "currency": "CNY", "channel": "upstream",
        "channelTradeNo": format!("UT-{order_no}"), "paidAt": now, "occurredAt": now,
    });
    Message { id: event_id, content_type: "application/json", body: event.to_string().into_bytes() }
}

/// What nobody can read.
pub(crate) fn poison() -> Message {
    let id = Uuid::now_v7().to_string();
    Message { id, content_type: "application/protobuf", body: b"\xff\xff poison".to_vec() }
}
