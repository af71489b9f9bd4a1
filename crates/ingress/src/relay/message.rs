//! How an event looks on the exchange.

use bytes::Bytes;
use events::SOURCE;
use events::codec::PROTOBUF;
use messaging::{Event, Message};

use crate::store::outbox::Pending;

/// The message of a pending event.
pub(super) fn of(pending: &Pending) -> Message {
    Message::from(Event {
        id: pending.event_id.to_string(),
        source: SOURCE,
        event_type: &pending.event_type,
        subject: &pending.pay_order_no,
        occurred_at: pending.occurred_at,
        traceparent: Some(&pending.traceparent),
        tracestate: pending.tracestate.as_deref(),
        content_type: PROTOBUF,
        body: Bytes::copy_from_slice(&pending.payload),
    })
}
