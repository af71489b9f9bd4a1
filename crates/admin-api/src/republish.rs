//! The shapes in which `payrelay events republish` asks the ingress to publish events once more.

use events::EventId;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::contradiction::Operator;

/// How many events one request names at most.
pub const MAX_EVENTS: usize = 500;

/// An event that was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Committed {
    /// Its own time, to the microsecond.
    #[serde(with = "time::serde::rfc3339")]
    pub occurred_at: OffsetDateTime,
    /// Its id.
    pub event_id: EventId,
}

/// The body of `POST /admin/events/republish`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Republish {
    /// 1 to [`MAX_EVENTS`].
    pub events: Vec<Committed>,
    /// Who wants it.
    pub by: Operator,
}

/// Its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Republished {
    /// How many were put into the outbox.
    pub queued: u64,
    /// How many wait in the outbox already.
    pub waiting: u64,
    /// Those that the ingress does not hold, or no more.
    pub unknown: Vec<EventId>,
}
