//! Exchanges, queues and bindings. The one table of queue arguments stands here.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::{RetryDelays, refusal};

/// The direct exchange that carries every event. It has no arguments, so that any client may declare it.
pub const EXCHANGE: &str = "pay.direct";

const DIRECT: &str = "direct";
const FANOUT: &str = "fanout";

/// Events that the order service and the notifier each have a queue for.
const PAY_KEYS: [&str; 4] = ["pay.success", "pay.failed", "pay.closed", "pay.refunded"];

/// Deliveries after which the broker dead-letters a message by itself: the backstop for what kills the process.
const DELIVERY_LIMIT: u64 = 20;
/// As good as none. `-1` lost messages on 3.10, and a low limit lets people who look into a dead-letter queue empty it.
const NO_DELIVERY_LIMIT: u64 = 1_000_000_000;

/// Arguments of a main queue: refuses when full instead of dropping, dead-letters at least once.
pub fn main_queue_arguments(queue: &str) -> Map<String, Value> {
    table(json!({
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-overflow": "reject-publish",
        "x-dead-letter-strategy": "at-least-once",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead_letter_queue_name(queue),
    }))
}

/// Arguments of a retry queue. Without a dead-letter routing key a message keeps the main queue's name as its
/// key, and the default exchange brings it home.
pub fn retry_queue_arguments(delay: Duration) -> Map<String, Value> {
    table(json!({
        "x-queue-type": "quorum",
        "x-message-ttl": u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        "x-delivery-limit": NO_DELIVERY_LIMIT,
        "x-overflow": "reject-publish",
        "x-dead-letter-strategy": "at-least-once",
        "x-dead-letter-exchange": "",
    }))
}

/// Arguments of a dead-letter queue.
pub fn dead_letter_queue_arguments() -> Map<String, Value> {
    table(json!({ "x-queue-type": "quorum", "x-delivery-limit": NO_DELIVERY_LIMIT }))
}

/// A consumer's main queue, bound to [`EXCHANGE`] by one routing key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerQueue {
    /// Who consumes it, as `trade`.
    pub consumer: String,
    /// As `trade.pay.success.queue`.
    pub queue: String,
    /// As `pay.success`.
    pub routing_key: String,
}

impl ConsumerQueue {
    /// The queue `{consumer}.{routing_key}.queue`.
    pub fn new(consumer: &str, routing_key: &str) -> Self {
        Self {
            consumer: consumer.to_owned(),
            queue: format!("{consumer}.{routing_key}.queue"),
            routing_key: routing_key.to_owned(),
        }
    }

    /// The name of its dead-letter queue, `{queue}.dlq`.
    pub fn dead_letter_queue(&self) -> String {
        dead_letter_queue_name(&self.queue)
    }
}

fn dead_letter_queue_name(queue: &str) -> String {
    format!("{queue}.dlq")
}

/// What is to exist on a broker: [`EXCHANGE`], main queues with their dead-letter queues, and the retry queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Main queues; each brings its dead-letter queue and its binding.
    pub queues: Vec<ConsumerQueue>,
    /// The shared retry queues; each has a fanout exchange of its own name.
    pub retry: RetryDelays,
}

/// An exchange with its kind, `direct` or `fanout`.
pub(crate) struct Exchange {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
}

/// A durable queue with its arguments and the (exchange, routing key) that it is bound to, if any.
pub(crate) struct Queue {
    pub(crate) name: String,
    pub(crate) arguments: Map<String, Value>,
    pub(crate) binding: Option<(String, String)>,
}

impl Topology {
    /// All queues of payrelay's own consumers: the order service (`trade`) and the notifier (`merchant`).
    pub fn payrelay(retry: &RetryDelays) -> Self {
        let queues = ["trade", "merchant"]
            .into_iter()
            .flat_map(|consumer| PAY_KEYS.map(|key| ConsumerQueue::new(consumer, key)))
            .collect();
        Self { queues, retry: retry.clone() }
    }

    /// Declares everything; existing things are left as they are. Leaves `channel` closed when it fails.
    ///
    /// # Errors
    /// A queue that exists with other arguments is refused by the broker (406): arguments are for ever.
    pub async fn declare(&self, channel: &Channel) -> Result<(), Error> {
        for exchange in self.exchanges() {
            exchange.declare(channel, false).await?;
        }
        for queue in self.queues() {
            queue.declare(channel, false).await?;
            queue.bind(channel).await?;
        }
        Ok(())
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        let retries =
            self.retry.iter().map(|delay| Exchange { name: RetryDelays::queue_name(delay), kind: FANOUT });
        let events = Exchange { name: EXCHANGE.to_owned(), kind: DIRECT };
        std::iter::once(events).chain(retries).collect()
    }

    pub(crate) fn queues(&self) -> Vec<Queue> {
        let mut queues = Vec::new();
        for delay in self.retry.iter() {
            let name = RetryDelays::queue_name(delay);
            // A fanout exchange ignores the key; an empty one says so.
            let binding = Some((name.clone(), String::new()));
            queues.push(Queue { name, arguments: retry_queue_arguments(delay), binding });
        }
        for main in &self.queues {
            // The dead-letter queue stands before anything can be dead-lettered into it.
            queues.push(Queue {
                name: main.dead_letter_queue(),
                arguments: dead_letter_queue_arguments(),
                binding: None,
            });
            queues.push(Queue {
                name: main.queue.clone(),
                arguments: main_queue_arguments(&main.queue),
                binding: Some((EXCHANGE.to_owned(), main.routing_key.clone())),
            });
        }
        queues
    }
}

/// Declares [`EXCHANGE`] alone, which is all that a publisher needs to find.
pub(crate) async fn declare_event_exchange(channel: &Channel) -> Result<(), Error> {
    Exchange { name: EXCHANGE.to_owned(), kind: DIRECT }.declare(channel, false).await
}

impl Exchange {
    /// `passive` only asks whether it is there.
    pub(crate) async fn declare(&self, channel: &Channel, passive: bool) -> Result<(), Error> {
        let options = ExchangeDeclareOptions { durable: true, passive, ..Default::default() };
        let kind = if self.kind == FANOUT { ExchangeKind::Fanout } else { ExchangeKind::Direct };
        let name = self.name.as_str().into();
        let declared = channel.exchange_declare(name, kind, options, FieldTable::default()).await;
        declared.map_err(refusal::of(refusal::DECLARE_EXCHANGE))
    }
}

impl Queue {
    /// `passive` only asks whether it is there.
    pub(crate) async fn declare(&self, channel: &Channel, passive: bool) -> Result<(), Error> {
        let options = QueueDeclareOptions { durable: true, passive, ..Default::default() };
        let name = self.name.as_str().into();
        let declared = channel.queue_declare(name, options, field_table(&self.arguments)).await;
        declared.map(drop).map_err(refusal::of(refusal::DECLARE_QUEUE))
    }

    async fn bind(self, channel: &Channel) -> Result<(), Error> {
        let Some((exchange, routing_key)) = self.binding else { return Ok(()) };
        let options = QueueBindOptions::default();
        let bound = channel
            .queue_bind(self.name.into(), exchange.into(), routing_key.into(), options, FieldTable::default())
            .await;
        bound.map_err(refusal::of(refusal::BIND))
    }
}

/// The table's values are texts and whole numbers only, which is what both AMQP and definitions.json spell alike.
fn field_table(arguments: &Map<String, Value>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        let value = match value {
            Value::String(text) => AMQPValue::LongString(text.as_str().into()),
            number => AMQPValue::LongLongInt(number.as_i64().unwrap_or(i64::MAX)),
        };
        table.insert(name.as_str().into(), value);
    }
    table
}

fn table(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
