//! Between events and bytes: protobuf, proto3 JSON, and the bare order numbers that older publishers send.
//!
//! The body's form is told by the AMQP `content_type`:
//!
//! | `content_type` | body |
//! |---|---|
//! | `application/protobuf` | `pay.v1.PayEvent` |
//! | `application/json` | the same in proto3 JSON; or a number or a string, the order number; or `{"orderNo": …}` |
//! | `text/plain` | the order number |
//! | `application/x-java-serialized-object` | a serialised `java.lang.Long` or `java.lang.Integer`, the order number |

mod bare;
mod proto;

use thiserror::Error;

use crate::{EventType, InvalidEvent, InvalidIdentifier, MerchantId, OrderNo, PayEvent};

/// The `content_type` of what we publish.
pub const PROTOBUF: &str = "application/protobuf";
/// The `content_type` of proto3 JSON, and of bare numbers in JSON.
pub const JSON: &str = "application/json";
/// The `content_type` of an order number as text.
pub const TEXT: &str = "text/plain";
/// The `content_type` of a serialised Java number.
pub const JAVA: &str = "application/x-java-serialized-object";
/// The longest body that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

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

/// Decodes a message of `pay.direct`. A bare order number takes its type from `routing_key`, its merchant from
/// `default_merchant`.
pub fn decode(
    content_type: Option<&str>,
    routing_key: &str,
    body: &[u8],
    default_merchant: Option<&MerchantId>,
) -> Result<Incoming, DecodeError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(DecodeError::Invalid(format!(
            "body: expected at most {MAX_BODY_BYTES} bytes, got {}",
            body.len()
        )));
    }
    let event_type: EventType = routing_key.parse()?;
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let order_no = match media_type.to_ascii_lowercase().as_str() {
        PROTOBUF => return full(proto::decode(body)?, event_type),
        JSON => match bare::from_json(body)? {
            Some(order_no) => order_no,
            None => return full(proto::decode_json(body)?, event_type),
        },
        TEXT => bare::from_text(body)?,
        JAVA => bare::from_java(body)?,
        other => {
            return Err(DecodeError::Undecodable(format!(
                "content_type: expected {PROTOBUF}, {JSON}, {TEXT} or {JAVA}, got {other:?}"
            )));
        }
    };
    let merchant_id = default_merchant.cloned().ok_or_else(|| {
        DecodeError::Invalid("a bare order number, and no PAYRELAY_DEFAULT_MERCHANT_ID says whose".to_owned())
    })?;
    Ok(Incoming::Bare(BareOrder { event_type, merchant_id, order_no: OrderNo::parse(order_no)? }))
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
