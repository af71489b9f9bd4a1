//! A message as a handler sees it, and the copy of it that goes to a retry or dead-letter queue.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::SUSPICIOUS_REDELIVERIES;
use crate::{ConsumerQueue, Message, header};

/// The broker's count of earlier deliveries, on quorum queues.
const DELIVERY_COUNT: &str = "x-delivery-count";
/// Longest detail in a header, in bytes.
const MAX_DETAIL_BYTES: usize = 1024;

/// A message of a main queue.
#[derive(Clone)]
pub struct Delivery {
    /// The main queue that it came from.
    pub queue: String,
    /// The key it was first published with, as `pay.success`.
    pub routing_key: String,
    /// As `application/protobuf`.
    pub content_type: Option<String>,
    /// The property `type`.
    pub kind: Option<String>,
    /// The event's id, if the publisher gave one.
    pub message_id: Option<String>,
    /// When the event occurred, if the publisher said so; whole seconds.
    pub timestamp: Option<OffsetDateTime>,
    /// All headers that hold text.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Bytes,
    /// How often it was handled in vain before.
    pub attempts: u32,
    /// When a consumer saw it first.
    pub first_seen: OffsetDateTime,
    /// How often the broker delivered it before without an acknowledgement, since it came into this queue.
    pub redeliveries: u64,
    pub(super) tag: u64,
}

impl fmt::Debug for Delivery {
    /// Without headers and body: neither belongs into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("queue", &self.queue)
            .field("routing_key", &self.routing_key)
            .field("message_id", &self.message_id)
            .field("attempts", &self.attempts)
            .field("redeliveries", &self.redeliveries)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Delivery {
    pub(super) fn new(queue: &str, delivery: lapin::message::Delivery) -> Self {
        let properties = &delivery.properties;
        let headers: BTreeMap<_, _> = properties.headers().as_ref().map(texts).unwrap_or_default();
        let number = |name: &str| number(properties.headers().as_ref()?, name);
        let text = |text: &Option<ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
        let first_seen =
            headers.get(header::FIRST_SEEN).and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        let timestamp = properties.timestamp().and_then(|seconds| i64::try_from(seconds).ok());
        // Only what came home through the default exchange may say that it was published under another key.
        let first_key = headers.get(header::ROUTING_KEY).filter(|_| delivery.exchange.as_str().is_empty());
        Self {
            queue: queue.to_owned(),
            routing_key: first_key.cloned().unwrap_or_else(|| delivery.routing_key.as_str().to_owned()),
            content_type: text(properties.content_type()),
            kind: text(properties.kind()),
            message_id: text(properties.message_id()),
            timestamp: timestamp.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok()),
            attempts: number(header::ATTEMPTS)
                .and_then(|attempts| attempts.try_into().ok())
                .unwrap_or_default(),
            first_seen: first_seen.unwrap_or_else(OffsetDateTime::now_utc),
            redeliveries: number(DELIVERY_COUNT).unwrap_or_default(),
            tag: delivery.delivery_tag,
            headers,
            body: delivery.data.into(),
        }
    }

    /// Whether it is to be handled alone.
    pub(super) fn is_suspicious(&self) -> bool {
        self.redeliveries >= SUSPICIOUS_REDELIVERIES
    }

    /// A copy for `exchange` under `routing_key`. It keeps what the message says and nothing that would change its way:
    /// no `user_id`, `expiration`, `CC`, `BCC` or `x-death`.
    pub(super) fn copy(
        &self,
        why: &Why<'_>,
        queue: &ConsumerQueue,
        (exchange, routing_key): (String, String),
    ) -> Message {
        let first_seen = self.first_seen.format(&Rfc3339).unwrap_or_default();
        let kept = self.headers.iter().filter(|(name, _)| is_kept(name));
        let mut headers: BTreeMap<_, _> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        headers.extend(
            [
                (header::ATTEMPTS, why.attempts.to_string()),
                (header::REASON, why.reason.to_owned()),
                (header::DETAIL, shortened(why.detail).to_owned()),
                (header::FIRST_SEEN, first_seen),
                (header::CONSUMER, queue.consumer.clone()),
                (header::ROUTING_KEY, self.routing_key.clone()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        Message {
            exchange,
            routing_key,
            message_id: self.message_id.clone().unwrap_or_default(),
            kind: self.kind.clone().unwrap_or_default(),
            content_type: self.content_type.clone().unwrap_or_default(),
            timestamp: self.timestamp,
            headers,
            body: self.body.clone(),
        }
    }
}

/// What a copy says of its message.
#[derive(Debug)]
pub(super) struct Why<'a> {
    pub(super) reason: &'a str,
    pub(super) detail: &'a str,
    /// The failed attempt included.
    pub(super) attempts: u32,
}

fn is_kept(name: &str) -> bool {
    name.starts_with("cloudEvents_")
        || matches!(name, header::TRACEPARENT | header::TRACESTATE | "__TypeId__")
}

fn texts(headers: &FieldTable) -> BTreeMap<String, String> {
    let text = |(name, value): (&ShortString, &AMQPValue)| match value {
        AMQPValue::LongString(text) => {
            Some((name.to_string(), String::from_utf8_lossy(text.as_bytes()).into_owned()))
        }
        AMQPValue::ShortString(text) => Some((name.to_string(), text.to_string())),
        _ => None,
    };
    headers.inner().iter().filter_map(text).collect()
}

fn number(headers: &FieldTable, name: &str) -> Option<u64> {
    match headers.inner().get(name)? {
        AMQPValue::LongLongInt(number) => (*number).try_into().ok(),
        AMQPValue::LongInt(number) => (*number).try_into().ok(),
        AMQPValue::LongUInt(number) => Some((*number).into()),
        AMQPValue::ShortInt(number) => (*number).try_into().ok(),
        AMQPValue::ShortUInt(number) => Some((*number).into()),
        AMQPValue::ShortShortInt(number) => (*number).try_into().ok(),
        AMQPValue::ShortShortUInt(number) => Some((*number).into()),
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok()?.parse().ok(),
        _ => None,
    }
}

/// At most [`MAX_DETAIL_BYTES`] of a text.
fn shortened(text: &str) -> &str {
    let mut end = text.len().min(MAX_DETAIL_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
