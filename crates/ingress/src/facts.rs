//! Facts about pay orders on their way into the database.
//!
//! Callbacks, closes and expiries all become [`Job`]s of one [`FactWriter`]. It takes whatever is queued, and in ONE
//! transaction locks the pay orders, [folds](fold::fold) the facts through [`events::transition`], and writes raw
//! callbacks, pay orders, events, pending publishes and contradictions. Only then is anybody answered or told.

#[cfg(test)]
pub(crate) mod arrivals;
mod fold;
mod resolve;
mod writer;

use bytes::Bytes;
use events::{ContradictionReason, Fact, PayOrderNo};
use serde_json::Value;
use time::OffsetDateTime;

pub(crate) use fold::{Contradiction, Counted, Folded, NewEvent, NewRefund};
pub(crate) use resolve::{Refusal, resolve};
pub(crate) use writer::{FactWriter, announce, write_in};

use crate::trace_context::TraceContext;

/// One fact to be written.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) pay_order_no: PayOrderNo,
    pub(crate) fact: Fact,
    pub(crate) trace: TraceContext,
    /// The callback that stated it; `None` for facts of our own.
    pub(crate) callback: Option<RawCallback>,
}

/// A verified callback as it came in.
#[derive(Debug, Clone)]
pub(crate) struct RawCallback {
    /// The channel account whose keys verified it.
    pub(crate) account: String,
    /// The channel's own identity of the callback.
    pub(crate) dedupe_id: String,
    pub(crate) received_at: OffsetDateTime,
    /// An object of header names and values, without credentials.
    pub(crate) headers: Value,
    pub(crate) body: Bytes,
}

/// What a committed fact has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Applied,
    Duplicate,
    Contradiction(ContradictionReason),
}

impl Outcome {
    /// The name in the database and in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Contradiction(_) => "contradiction",
        }
    }

    /// The reason of a contradiction.
    pub(crate) const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Contradiction(reason) => Some(reason.as_str()),
            Self::Applied | Self::Duplicate => None,
        }
    }
}
