//! Between events and bytes: protobuf, proto3 JSON, and the bare order numbers that older publishers send.
//!
//! The body's form is told by the AMQP `content_type`, whatever its case and parameters:
//!
//! | `content_type` | body |
//! |---|---|
//! | `application/protobuf`, also `application/x-protobuf` and kin | `pay.v1.PayEvent` |
//! | `application/json`, also `text/json` and `…+json` | the same in proto3 JSON; or a number or a string, the order number; or `{"orderNo": …}` |
//! | `text/plain` | the order number |
//! | `application/x-java-serialized-object` | a serialised `java.lang.Long` or `java.lang.Integer`, the order number |
//! | none, or `application/octet-stream` | any of these; they are told apart by how they begin |

mod bare;
mod json;
mod proto;
mod timestamp;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use json::Json;

use crate::{EventType, InvalidEvent, InvalidIdentifier, MerchantId, OrderNo, PayEvent};

/// The `content_type` of what we publish.
pub const PROTOBUF: &str = "application/protobuf";
/// The `content_type` of proto3 JSON, and of bare numbers in JSON.
pub const JSON: &str = "application/json";
/// The `content_type` of an order number as text.
pub const TEXT: &str = "text/plain";
/// The `content_type` of a serialised Java number.
pub const JAVA: &str = "application/x-java-serialized-object";
/// What publishers call protobuf besides; there was no registered name for long.
const PROTOBUF_TOO: [&str; 4] = [
    "application/x-protobuf",
    "application/vnd.google.protobuf",
    "application/x-google-protobuf",
    "application/protobuffer",
];
/// What publishers call JSON besides, and `…+json`.
const JSON_TOO: [&str; 3] = ["text/json", "text/x-json", "application/x-json"];
/// What clients say of bytes of which they know nothing.
const UNTOLD: [&str; 2] = ["", "application/octet-stream"];
/// How whatever is compressed by gzip begins, and nothing that we read.
const GZIP: &[u8] = b"\x1f\x8b";
/// How a Java object begins.
const JAVA_MAGIC: &[u8] = b"\xac\xed";
/// How much of a text an error quotes.
const MAX_QUOTED_CHARS: usize = 80;
/// The longest body that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// How the ingress publishes events; everybody reads both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// `pay.v1.PayEvent`.
    #[default]
    Protobuf,
    /// The same in proto3 JSON, for readers without protobuf.
    Json,
}

impl Format {
    /// The `content_type` of what is published.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => PROTOBUF,
            Self::Json => JSON,
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "protobuf" => Ok(Self::Protobuf),
            "json" => Ok(Self::Json),
            other => Err(format!("expected protobuf or json, got {other:?}")),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Protobuf => "protobuf",
            Self::Json => "json",
        })
    }
}

/// What a message of `pay.direct` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A full snapshot.
    Event(Box<PayEvent>),
    /// No more than that something happened to an order.
    Bare(BareOrder),
}

/// A bare order number with what its message adds to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BareOrder {
    /// What happened, by the routing key.
    pub event_type: EventType,
    /// Whose order, by configuration.
    pub merchant_id: MerchantId,
    /// The order.
    pub order_no: OrderNo,
}

/// Why a message cannot be understood; it never will be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes are not what the `content_type` says.
    #[error("undecodable: {0}")]
    Undecodable(String),
    /// The bytes are a message, but a field of it is wrong.
    #[error("invalid: {0}")]
    Invalid(String),
}

impl DecodeError {
    /// The reason that a dead letter carries.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Undecodable(_) => "undecodable",
            Self::Invalid(_) => "invalid",
        }
    }

    fn undecodable(error: impl std::fmt::Display) -> Self {
        Self::Undecodable(error.to_string())
    }
}

impl From<InvalidEvent> for DecodeError {
    fn from(error: InvalidEvent) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<InvalidIdentifier> for DecodeError {
    fn from(error: InvalidIdentifier) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// Encodes an event as `pay.v1.PayEvent`.
pub fn encode_protobuf(event: &PayEvent) -> Vec<u8> {
    proto::encode(event)
}

/// Encodes an event as proto3 JSON.
pub fn encode_json(event: &PayEvent) -> Result<String, serde_json::Error> {
    proto::encode_json(event)
}

/// An event that was encoded as `pay.v1.PayEvent`, as proto3 JSON; `None` if it cannot be read.
pub fn json_of(protobuf: &[u8]) -> Option<String> {
    encode_json(&proto::decode(protobuf).ok()?).ok()
}

/// Decodes a message of `pay.direct`. A bare order number takes its type from `routing_key`, its merchant from
/// `default_merchant_id`.
pub fn decode(
    content_type: Option<&str>,
    routing_key: &str,
    body: &[u8],
    default_merchant_id: Option<&MerchantId>,
) -> Result<Incoming, DecodeError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(DecodeError::Invalid(format!(
            "body: expected at most {MAX_BODY_BYTES} bytes, got {}",
            body.len()
        )));
    }
    let event_type: EventType = routing_key.parse()?;
    if body.starts_with(GZIP) {
        return Err(DecodeError::Undecodable(
            "body: expected it as it is, got it compressed by gzip".to_owned(),
        ));
    }
    let order_no = match form(content_type.unwrap_or_default(), body)? {
        Form::Protobuf => return full(proto::decode(body)?, event_type),
        Form::Json => match json::read(body)? {
            Json::Fields(fields) => match bare::from_fields(&fields) {
                Some(order_no) => order_no?,
                None => return full(proto::decode_json(fields)?, event_type),
            },
            Json::Value(value) => bare::from_value(&value)?,
        },
        Form::Text => bare::from_text(body)?,
        Form::Java => bare::from_java(body)?,
    };
    let merchant_id = default_merchant_id.cloned().ok_or_else(|| {
        DecodeError::Invalid("a bare order number, and no PAYRELAY_DEFAULT_MERCHANT_ID says whose".to_owned())
    })?;
    Ok(Incoming::Bare(BareOrder { event_type, merchant_id, order_no: OrderNo::parse(order_no)? }))
}

/// How a body is written.
#[derive(Clone, Copy)]
enum Form {
    Protobuf,
    Json,
    Text,
    Java,
}

/// The form that a `content_type` names (RFC 9110, 8.3.1: in any case, with any parameters), or that of the body itself.
fn form(content_type: &str, body: &[u8]) -> Result<Form, DecodeError> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        PROTOBUF => Ok(Form::Protobuf),
        JSON => Ok(Form::Json),
        TEXT => Ok(Form::Text),
        JAVA => Ok(Form::Java),
        other if PROTOBUF_TOO.contains(&other) => Ok(Form::Protobuf),
        other if JSON_TOO.contains(&other) || other.ends_with("+json") => Ok(Form::Json),
        other if UNTOLD.contains(&other) => Ok(form_of(body)),
        other => Err(DecodeError::Undecodable(format!(
            "content_type: expected {PROTOBUF}, {JSON}, {TEXT} or {JAVA}, got {other:?}"
        ))),
    }
}

/// No body is of two forms: an event in protobuf holds control characters, of which JSON's beginning and an order number have
/// none.
fn form_of(body: &[u8]) -> Form {
    let text = std::str::from_utf8(json::unmarked(body)).map(str::trim).unwrap_or_default();
    if body.starts_with(JAVA_MAGIC) {
        Form::Java
    } else if text.starts_with(['{', '"']) {
        Form::Json
    } else if OrderNo::parse(text).is_ok() {
        Form::Text
    } else {
        Form::Protobuf
    }
}

/// How an error quotes a text of a message: its beginning.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

fn full(event: PayEvent, event_type: EventType) -> Result<Incoming, DecodeError> {
    if event.event_type != event_type {
        return Err(InvalidEvent::new(
            "type",
            format_args!("{event_type}, as the routing key says"),
            event.event_type,
        )
        .into());
    }
    Ok(Incoming::Event(Box::new(event)))
}

#[cfg(test)]
mod tests;
