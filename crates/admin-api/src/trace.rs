//! The shape in which every service tells what it knows of one order, for `payrelay trace`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

/// One thing that happened to an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceStep {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Which service saw it.
    pub service: String,
    /// What happened, a name in snake case in the past tense.
    pub step: String,
    /// The particulars.
    pub detail: Value,
}

/// What a service answers on `GET /admin/trace/{order_no}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// What happened, in the order of time.
    pub steps: Vec<TraceStep>,
}
