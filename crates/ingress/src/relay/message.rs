//! How an event looks on the exchange.

use bytes::Bytes;
use events::SOURCE;
use events::codec::{self, Format};
use messaging::{Event, Message};

use crate::store::outbox::Pending;

/// The message of a pending event. One that cannot be written as JSON, as of a later release, goes as it is stored: everybody
/// reads both.
pub(super) fn of(pending: &Pending, format: Format) -> Message {
    let json = (format == Format::Json).then(|| codec::json_of(&pending.payload)).flatten();
    let format = if json.is_some() { format } else { Format::Protobuf };
    Message::from(Event {
        id: pending.event_id.to_string(),
        source: SOURCE,
        event_type: &pending.event_type,
        subject: &pending.pay_order_no,
        occurred_at: pending.occurred_at,
        traceparent: Some(&pending.traceparent),
        tracestate: pending.tracestate.as_deref(),
        content_type: format.content_type(),
        body: json.map_or_else(|| Bytes::copy_from_slice(&pending.payload), Bytes::from),
    })
}
