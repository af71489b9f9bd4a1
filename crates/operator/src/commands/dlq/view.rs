//! Dead letters as people and machines read them.

use base64::{Engine, engine::general_purpose::STANDARD};
use events::{
    MerchantId, OrderNo,
    codec::{self, DecodeError, Incoming},
};
use messaging::DeadLetter;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The order that a message is about, if it can be read.
pub(super) fn order_no(letter: &DeadLetter) -> Option<OrderNo> {
    match decode(letter).ok()? {
        Incoming::Event(event) => Some(event.order.order_no.clone()),
        Incoming::Bare(bare) => Some(bare.order_no),
    }
}

/// Everything of a message, so that it could be published again from this alone.
pub(super) fn record(letter: &DeadLetter) -> Value {
    json!({
        "reason": letter.reason, "detail": letter.detail, "attempts": letter.attempts,
        "first_seen": rfc3339(letter.first_seen), "routing_key": letter.routing_key,
        "properties": {
            "message_id": letter.message_id, "type": letter.kind, "content_type": letter.content_type,
            "timestamp": rfc3339(letter.timestamp),
        },
        "headers": letter.headers, "body_base64": STANDARD.encode(&letter.body),
    })
}

/// A record with what the body says.
pub(super) fn decoded(letter: &DeadLetter) -> Value {
    let mut record = record(letter);
    match event(letter) {
        Ok(event) => record["event"] = event,
        Err(error) => record["undecodable"] = error.to_string().into(),
    }
    record
}

/// What the body says: an event in proto3 JSON, or a bare order number.
pub(super) fn event(letter: &DeadLetter) -> Result<Value, DecodeError> {
    Ok(match decode(letter)? {
        Incoming::Event(event) => codec::encode_json(&event)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default(),
        Incoming::Bare(bare) => {
            json!({ "type": bare.event_type, "orderNo": bare.order_no })
        }
    })
}

fn decode(letter: &DeadLetter) -> Result<Incoming, DecodeError> {
    // Whose order a bare number names is configured at the consumers. It is not shown.
    let somebody = MerchantId::parse("-").ok();
    codec::decode(letter.content_type.as_deref(), &letter.routing_key, &letter.body, somebody.as_ref())
}

/// A time for people and machines.
pub(super) fn rfc3339(time: Option<OffsetDateTime>) -> Option<String> {
    time?.format(&Rfc3339).ok()
}

/// A text of unknown origin without what would control a terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
