//! A message as a handler sees it, and the copy of it that goes to a retry or dead-letter queue.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::SUSPICIOUS_REDELIVERIES;
use crate::{ConsumerQueue, Message, header};

/// The broker's count of earlier deliveries, on quorum queues.
const DELIVERY_COUNT: &str = "x-delivery-count";
/// Longest text that a copy carries in one header, in bytes. Together they fit a frame, whatever was sent to us.
const MAX_HEADER_BYTES: usize = 1024;
/// Headers of publishers that a copy keeps: CloudEvents, trace context, the Java type of Spring's converters.
const KEPT_HEADERS: [&str; 9] = [
    header::SPECVERSION,
    header::ID,
    header::SOURCE,
    header::TYPE,
    header::TIME,
    header::SUBJECT,
    header::TRACEPARENT,
    header::TRACESTATE,
    "__TypeId__",
];

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
    /// All headers that hold text; bytes count as such.
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
    pub(super) fn new(queue: &ConsumerQueue, delivery: lapin::message::Delivery) -> Self {
        let properties = &delivery.properties;
        let table = properties.headers().as_ref();
        let headers = table.map(texts).unwrap_or_default();
        let number = |name: &str| number(table?, name);
        let text = |text: &Option<ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
        let timestamp = properties.timestamp().and_then(|seconds| i64::try_from(seconds).ok());
        // What we wrote ourselves came home through the default exchange, under the queue's own name. On any other way
        // a publisher could use up a message's attempts before the first, or pretend another event.
        let home = delivery.exchange.as_str().is_empty();
        let ours = |name: &str| headers.get(name).filter(|_| home);
        let routing_key = if home {
            ours(header::ROUTING_KEY).unwrap_or(&queue.routing_key)
        } else {
            delivery.routing_key.as_str()
        };
        Self {
            queue: queue.queue.clone(),
            routing_key: routing_key.to_owned(),
            content_type: text(properties.content_type()),
            kind: text(properties.kind()),
            message_id: text(properties.message_id()),
            timestamp: timestamp.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok()),
            attempts: number(header::ATTEMPTS)
                .filter(|_| home)
                .and_then(|attempts| attempts.try_into().ok())
                .unwrap_or_default(),
            first_seen: ours(header::FIRST_SEEN)
                .and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok())
                .unwrap_or_else(OffsetDateTime::now_utc),
            redeliveries: number(DELIVERY_COUNT).unwrap_or_default(),
            tag: delivery.delivery_tag,
            headers,
            body: delivery.data.into(),
        }
    }

    /// The same for the same message: its `message_id`, or a digest of its body, for not every publisher gives one.
    pub fn identity(&self) -> Cow<'_, str> {
        match &self.message_id {
            Some(id) => id.into(),
            None => format!("sha256:{}", hex::encode(Sha256::digest(&self.body))).into(),
        }
    }

    /// When its event occurred, as far as its publisher says: `cloudEvents_time`, else the timestamp in whole seconds.
    pub(super) fn occurred_at(&self) -> Option<OffsetDateTime> {
        let time = self.headers.get(header::TIME).and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        time.or(self.timestamp)
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
        exchange: String,
        routing_key: String,
    ) -> Message {
        let first_seen = self.first_seen.format(&Rfc3339).unwrap_or_default();
        let attempts = why.attempts.to_string();
        let own = [
            (header::ATTEMPTS, attempts.as_str()),
            (header::REASON, why.reason),
            (header::DETAIL, why.detail),
            (header::FIRST_SEEN, &first_seen),
            (header::CONSUMER, &queue.consumer),
            (header::ROUTING_KEY, &self.routing_key),
        ];
        let kept = KEPT_HEADERS.into_iter().filter_map(|name| Some((name, self.headers.get(name)?.as_str())));
        let headers = kept.chain(own).map(|(name, value)| (name.to_owned(), shortened(value).to_owned()));
        Message {
            exchange,
            routing_key,
            message_id: self.message_id.clone().unwrap_or_default(),
            kind: self.kind.clone().unwrap_or_default(),
            content_type: self.content_type.clone().unwrap_or_default(),
            timestamp: self.timestamp,
            headers: headers.collect(),
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

fn texts(headers: &FieldTable) -> BTreeMap<String, String> {
    let text = |(name, value): (&ShortString, &AMQPValue)| match value {
        AMQPValue::LongString(text) => {
            Some((name.to_string(), String::from_utf8_lossy(text.as_bytes()).into_owned()))
        }
        AMQPValue::ShortString(text) => Some((name.to_string(), text.to_string())),
        // Some clients write texts so.
        AMQPValue::ByteArray(text) => {
            Some((name.to_string(), String::from_utf8_lossy(text.as_slice()).into_owned()))
        }
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

/// At most [`MAX_HEADER_BYTES`] of a text.
fn shortened(text: &str) -> &str {
    let mut end = text.len().min(MAX_HEADER_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
