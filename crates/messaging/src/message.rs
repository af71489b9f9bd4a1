//! What is published, and how it looks on the wire.

use std::collections::BTreeMap;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::EXCHANGE;
use crate::error::PublishError;

/// Names of the headers that payrelay writes itself.
pub mod header {
    /// How often the message was handled in vain, an integer.
    pub const ATTEMPTS: &str = "x-payrelay-attempts";
    /// Why the message was put into a retry or dead-letter queue, a word.
    pub const REASON: &str = "x-payrelay-reason";
    /// The reason in detail, text for people.
    pub const DETAIL: &str = "x-payrelay-detail";
    /// When a consumer saw the message first, RFC 3339.
    pub const FIRST_SEEN: &str = "x-payrelay-first-seen";
    /// Which consumer handled it, as `trade`.
    pub const CONSUMER: &str = "x-payrelay-consumer";
    /// The key it was first published with: a retry queue brings it home under the queue's name.
    pub const ROUTING_KEY: &str = "x-payrelay-routing-key";
    /// The version of `CloudEvents`.
    pub const SPECVERSION: &str = "cloudEvents_specversion";
    /// The `CloudEvents` attribute with the event's id.
    pub const ID: &str = "cloudEvents_id";
    /// The `CloudEvents` attribute that names the publisher.
    pub const SOURCE: &str = "cloudEvents_source";
    /// The `CloudEvents` attribute with the event's type.
    pub const TYPE: &str = "cloudEvents_type";
    /// The `CloudEvents` attribute that says when it occurred, RFC 3339.
    pub const TIME: &str = "cloudEvents_time";
    /// The `CloudEvents` attribute that says of what, as the number of a pay order.
    pub const SUBJECT: &str = "cloudEvents_subject";
    /// W3C trace context, see <https://www.w3.org/TR/trace-context/>.
    pub const TRACEPARENT: &str = "traceparent";
    /// W3C trace context, vendor part.
    pub const TRACESTATE: &str = "tracestate";
}

/// All headers of a message together, names and values. A content header must fit one frame (128 KiB).
const MAX_HEADERS_BYTES: usize = 64 * 1024;

/// A message to publish: always persistent and mandatory. Empty texts are left out of the properties.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// [`crate::EXCHANGE`], a retry exchange, or `""` for the default exchange.
    pub exchange: String,
    /// At most 255 bytes, as all texts but the headers' values.
    pub routing_key: String,
    /// The event's id; consumers and tools find the message by it.
    pub message_id: String,
    /// The property `type`: the event's type, as `pay.success`.
    pub kind: String,
    /// As `application/protobuf`.
    pub content_type: String,
    /// When the event occurred; AMQP keeps whole seconds.
    pub timestamp: Option<OffsetDateTime>,
    /// CloudEvents attributes, `traceparent`, `tracestate`, …; at most 64 KiB together.
    pub headers: BTreeMap<String, String>,
    /// The broker takes at most 1 MiB, consumers accept at most 64 KiB.
    pub body: Bytes,
}

impl std::fmt::Debug for Message {
    /// Without headers and body: neither belongs into a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("exchange", &self.exchange)
            .field("routing_key", &self.routing_key)
            .field("message_id", &self.message_id)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// An event to be told on [`crate::EXCHANGE`]: the attributes of `CloudEvents` 1.0, and its body.
pub struct Event<'a> {
    /// Stays the same when the event is published again.
    pub id: String,
    /// Who publishes it, as `/payrelay/ingress`.
    pub source: &'a str,
    /// As `pay.success`: also the routing key.
    pub event_type: &'a str,
    /// What it is about.
    pub subject: &'a str,
    /// When it occurred.
    pub occurred_at: OffsetDateTime,
    /// W3C trace context.
    pub traceparent: Option<&'a str>,
    /// W3C trace context, vendor part.
    pub tracestate: Option<&'a str>,
    /// Of the body.
    pub content_type: &'a str,
    /// The event itself.
    pub body: Bytes,
}

/// A message whose texts were found to fit the protocol: encoding it cannot fail any more.
pub(crate) struct Encoded {
    pub(crate) exchange: ShortString,
    pub(crate) routing_key: ShortString,
    pub(crate) properties: BasicProperties,
    pub(crate) body: Bytes,
}

impl From<Event<'_>> for Message {
    /// The attributes as headers, mirrored into the properties.
    fn from(event: Event<'_>) -> Self {
        let attributes = [
            (header::SPECVERSION, "1.0".to_owned()),
            (header::ID, event.id.clone()),
            (header::SOURCE, event.source.to_owned()),
            (header::TYPE, event.event_type.to_owned()),
            (header::TIME, event.occurred_at.format(&Rfc3339).unwrap_or_default()),
            (header::SUBJECT, event.subject.to_owned()),
        ];
        let trace = [(header::TRACEPARENT, event.traceparent), (header::TRACESTATE, event.tracestate)];
        let trace = trace.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned())));
        let headers = attributes.into_iter().chain(trace);
        Self {
            exchange: EXCHANGE.to_owned(),
            routing_key: event.event_type.to_owned(),
            message_id: event.id,
            kind: event.event_type.to_owned(),
            content_type: event.content_type.to_owned(),
            timestamp: Some(event.occurred_at),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).collect(),
            body: event.body,
        }
    }
}

impl Message {
    /// Checked before anything of a batch is sent, for a frame the broker refuses would cost the whole batch.
    pub(crate) fn encode(self) -> Result<Encoded, PublishError> {
        let headers_bytes: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if headers_bytes > MAX_HEADERS_BYTES {
            return Err(PublishError::Invalid(format!(
                "{headers_bytes} bytes of headers, at most {MAX_HEADERS_BYTES}"
            )));
        }
        let mut headers = FieldTable::default();
        for (name, value) in self.headers {
            let value = header_value(&name, value);
            headers.insert(short("header name", name)?, value);
        }
        let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(headers);
        if !self.message_id.is_empty() {
            properties = properties.with_message_id(short("message_id", self.message_id)?);
        }
        if !self.kind.is_empty() {
            properties = properties.with_type(short("type", self.kind)?);
        }
        if !self.content_type.is_empty() {
            properties = properties.with_content_type(short("content_type", self.content_type)?);
        }
        if let Some(seconds) = self.timestamp.and_then(|at| u64::try_from(at.unix_timestamp()).ok()) {
            properties = properties.with_timestamp(seconds);
        }
        Ok(Encoded {
            exchange: short("exchange", self.exchange)?,
            routing_key: short("routing_key", self.routing_key)?,
            properties,
            body: self.body,
        })
    }
}

const PERSISTENT: u8 = 2;

/// Attempts travel as a number, so that other clients and the management UI read them as one.
fn header_value(name: &str, value: String) -> AMQPValue {
    match value.parse() {
        Ok(attempts) if name == header::ATTEMPTS => AMQPValue::LongLongInt(attempts),
        _ => AMQPValue::LongString(value.into()),
    }
}

fn short(what: &str, text: String) -> Result<ShortString, PublishError> {
    ShortString::try_new(text).map_err(|error| PublishError::Invalid(format!("{what}: {error}")))
}
