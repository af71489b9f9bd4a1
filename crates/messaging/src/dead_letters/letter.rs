//! One dead letter: what it is, why it is there, and how it is replayed.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::{ConsumerQueue, Message, header};

/// Written by the broker, not by us, when it dead-letters by itself: an array of tables, the newest first.
const BROKERS_DEATHS: &str = "x-death";
/// Neither we nor the broker say why it is there: somebody published into the dead-letter queue.
const UNKNOWN: &str = "unknown";
/// All headers of a replayed message together; a content header must fit one frame (128 KiB).
const MAX_HEADERS_BYTES: usize = 32 * 1024;

/// A message of a dead-letter queue.
#[derive(Clone)]
pub struct DeadLetter {
    /// The key it was first published with, as `pay.success`.
    pub routing_key: String,
    /// The event's id, if the publisher gave one.
    pub message_id: Option<String>,
    /// The property `type`.
    pub kind: Option<String>,
    /// As `application/protobuf`.
    pub content_type: Option<String>,
    /// When the event occurred, if the publisher said so; whole seconds.
    pub timestamp: Option<OffsetDateTime>,
    /// Why it is here: the consumer's word, as `attempts_exhausted`; the broker's for its own dead letters, `delivery_limit`;
    /// else `unknown`.
    pub reason: String,
    /// The reason in detail, if a consumer gave one.
    pub detail: Option<String>,
    /// How often it was handled in vain. Not known of the broker's own dead letters.
    pub attempts: Option<u64>,
    /// When a consumer saw it first; of the broker's own dead letters, when the broker gave up.
    pub first_seen: Option<OffsetDateTime>,
    /// All headers, as JSON.
    pub headers: Map<String, Value>,
    /// The body.
    pub body: Bytes,
    pub(super) tag: u64,
}

impl fmt::Debug for DeadLetter {
    /// Without headers and body: neither belongs into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("routing_key", &self.routing_key)
            .field("message_id", &self.message_id)
            .field("reason", &self.reason)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl DeadLetter {
    pub(super) fn new(queue: &ConsumerQueue, delivery: lapin::message::Delivery) -> Self {
        let properties = &delivery.properties;
        let headers = properties.headers().as_ref().map(object).unwrap_or_default();
        let why = Why::of(&headers);
        let text = |text: &Option<ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
        let timestamp = properties.timestamp().and_then(|seconds| i64::try_from(seconds).ok());
        Self {
            routing_key: why.routing_key.unwrap_or_else(|| queue.routing_key.clone()),
            message_id: text(properties.message_id()),
            kind: text(properties.kind()),
            content_type: text(properties.content_type()),
            timestamp: timestamp.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok()),
            reason: why.reason,
            detail: why.detail,
            attempts: why.attempts,
            first_seen: why.first_seen,
            tag: delivery.delivery_tag,
            headers,
            body: delivery.data.into(),
        }
    }

    /// A copy for the main queue itself, as its publisher sent it: no attempt counted, and nothing that would change its way
    /// or not fit.
    pub(super) fn replayed(&self, queue: &ConsumerQueue) -> Message {
        let mut bytes = 0;
        let publishers = self.headers.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
        let publishers = publishers.filter(|(name, value)| {
            let with_it = bytes + name.len() + value.len();
            let kept = is_publishers(name) && with_it <= MAX_HEADERS_BYTES;
            bytes = if kept { with_it } else { bytes };
            kept
        });
        let mut headers: BTreeMap<_, _> =
            publishers.map(|(name, value)| (name.clone(), value.to_owned())).collect();
        headers.insert(header::ROUTING_KEY.to_owned(), self.routing_key.clone());
        Message {
            exchange: String::new(),
            routing_key: queue.queue.clone(),
            message_id: self.message_id.clone().unwrap_or_default(),
            kind: self.kind.clone().unwrap_or_default(),
            content_type: self.content_type.clone().unwrap_or_default(),
            timestamp: self.timestamp,
            headers,
            body: self.body.clone(),
        }
    }
}

/// What the headers say of why a message is in its dead-letter queue.
struct Why {
    reason: String,
    detail: Option<String>,
    attempts: Option<u64>,
    first_seen: Option<OffsetDateTime>,
    routing_key: Option<String>,
}

impl Why {
    /// A consumer's copy holds no `x-death`. Where there is one, the broker dead-lettered the publisher's own message, in
    /// which headers of our names may be forged, unless it had come home from a retry queue.
    fn of(headers: &Map<String, Value>) -> Self {
        let text = |name: &str| headers.get(name)?.as_str().map(str::to_owned);
        let Some(death) = headers.get(BROKERS_DEATHS).and_then(|deaths| deaths.get(0)) else {
            return Self {
                reason: text(header::REASON).unwrap_or_else(|| UNKNOWN.to_owned()),
                detail: text(header::DETAIL),
                attempts: headers.get(header::ATTEMPTS).and_then(whole_number),
                first_seen: text(header::FIRST_SEEN)
                    .and_then(|text| OffsetDateTime::parse(&text, &Rfc3339).ok()),
                routing_key: text(header::ROUTING_KEY),
            };
        };
        let home = death["exchange"].as_str().is_some_and(str::is_empty);
        let published = || death["routing-keys"].get(0)?.as_str().map(str::to_owned);
        Self {
            reason: death["reason"].as_str().unwrap_or(UNKNOWN).to_owned(),
            detail: None,
            attempts: None,
            first_seen: death["time"]
                .as_i64()
                .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok()),
            routing_key: if home { text(header::ROUTING_KEY) } else { published() },
        }
    }
}

/// Neither ours nor the broker's (`x-…`), nor what routes a message to other queues besides.
fn is_publishers(name: &str) -> bool {
    !name.starts_with("x-") && !["CC", "BCC"].contains(&name)
}

/// As consumers read the attempts: a number, or a text that holds one.
fn whole_number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn object(table: &FieldTable) -> Map<String, Value> {
    table.inner().iter().map(|(name, value)| (name.to_string(), value_of(value))).collect()
}

fn value_of(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Boolean(value) => (*value).into(),
        AMQPValue::ShortShortInt(number) => (*number).into(),
        AMQPValue::ShortShortUInt(number) => (*number).into(),
        AMQPValue::ShortInt(number) => (*number).into(),
        AMQPValue::ShortUInt(number) => (*number).into(),
        AMQPValue::LongInt(number) => (*number).into(),
        AMQPValue::LongUInt(number) => (*number).into(),
        AMQPValue::LongLongInt(number) => (*number).into(),
        AMQPValue::Float(number) => (*number).into(),
        AMQPValue::Double(number) => (*number).into(),
        AMQPValue::Timestamp(seconds) => (*seconds).into(),
        AMQPValue::DecimalValue(decimal) => json!({ "scale": decimal.scale, "value": decimal.value }),
        AMQPValue::ShortString(text) => text.as_str().into(),
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into(),
        AMQPValue::ByteArray(bytes) => {
            std::str::from_utf8(bytes.as_slice()).map_or_else(|_| bytes.as_slice().into(), Value::from)
        }
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(value_of).collect(),
        AMQPValue::FieldTable(table) => Value::Object(object(table)),
        AMQPValue::Void => Value::Null,
    }
}

#[cfg(test)]
mod tests;
