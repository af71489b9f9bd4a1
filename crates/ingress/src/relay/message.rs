//! How an event looks on the exchange.

use std::collections::BTreeMap;

use bytes::Bytes;
use events::SOURCE;
use events::codec::PROTOBUF;
use messaging::{EXCHANGE, Message, header};
use time::format_description::well_known::Rfc3339;

use crate::store::outbox::Pending;

/// The message of a pending event: the attributes of `CloudEvents` as headers, mirrored into the properties.
pub(super) fn of(pending: &Pending) -> Message {
    let event_id = pending.event_id.to_string();
    let mut headers: BTreeMap<String, String> = [
        ("cloudEvents_specversion", "1.0".to_owned()),
        ("cloudEvents_id", event_id.clone()),
        (header::SOURCE, SOURCE.to_owned()),
        ("cloudEvents_type", pending.event_type.clone()),
        ("cloudEvents_time", pending.occurred_at.format(&Rfc3339).unwrap_or_default()),
        ("cloudEvents_subject", pending.pay_order_no.clone()),
        (header::TRACEPARENT, pending.traceparent.clone()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    headers.extend(pending.tracestate.clone().map(|state| (header::TRACESTATE.to_owned(), state)));
    Message {
        exchange: EXCHANGE.to_owned(),
        routing_key: pending.event_type.clone(),
        message_id: event_id,
        kind: pending.event_type.clone(),
        content_type: PROTOBUF.to_owned(),
        timestamp: Some(pending.occurred_at),
        headers,
        body: Bytes::copy_from_slice(&pending.payload),
    }
}
