//! The facts that go in, and what is written of them. Data only.

use std::collections::BTreeMap;
use std::iter::once;
use std::mem::discriminant;
use std::sync::Arc;

use bytes::Bytes;
use events::{ContradictionReason, Fact, FactKind, PayEvent, PayOrder, PayOrderNo};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::OwnedSemaphorePermit;

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
    /// The place of a large body, held until it is written.
    pub(crate) _room: Option<Arc<OwnedSemaphorePermit>>,
}

/// What a committed fact has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FactOutcome {
    Applied,
    Duplicate,
    Contradiction(ContradictionReason),
}

impl FactOutcome {
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

/// The amounts in minor units of refunds that were stated by themselves and are counted, by pay order and refund number.
pub(crate) type Counted = BTreeMap<(PayOrderNo, String), i64>;

/// A refund that was stated by itself, and is counted from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewRefund {
    pub(crate) pay_order_no: PayOrderNo,
    pub(crate) refund_no: String,
    pub(crate) amount_minor: i64,
    pub(crate) refunded_at: OffsetDateTime,
}

/// An event with the trace of the fact that caused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewEvent {
    pub(crate) event: PayEvent,
    pub(crate) trace: TraceContext,
}

/// A fact that contradicts what is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contradiction {
    pub(crate) pay_order_no: PayOrderNo,
    pub(crate) reason: ContradictionReason,
    /// What is known; `None` if there is no such pay order.
    pub(crate) ours: Option<PayOrder>,
    /// What is stated: one fact of each kind, of cumulative refunds the largest, and every refund that was stated by itself.
    pub(crate) theirs: Fact,
    pub(crate) also: Vec<Fact>,
    /// How often, in this batch.
    pub(crate) count: i64,
}

impl Contradiction {
    pub(super) fn new(job: &Job, reason: ContradictionReason, ours: Option<PayOrder>) -> Self {
        let (pay_order_no, theirs) = (job.pay_order_no.clone(), job.fact.clone());
        Self { pay_order_no, reason, ours, theirs, also: Vec::new(), count: 1 }
    }

    pub(super) fn add(&mut self, fact: &Fact) {
        self.count += 1;
        let same = |known: &&mut Fact| same_statement(&known.kind, &fact.kind);
        match once(&mut self.theirs).chain(&mut self.also).find(same) {
            Some(known) if refunded(fact) > refunded(known) => known.clone_from(fact),
            Some(_) => {}
            None => self.also.push(fact.clone()),
        }
    }
}

/// Whether two facts state the same thing, or one of them more of it.
fn same_statement(one: &FactKind, other: &FactKind) -> bool {
    match (one, other) {
        (
            FactKind::PartRefunded { refund_no, amount_minor, .. },
            FactKind::PartRefunded { refund_no: other_no, amount_minor: other_minor, .. },
        ) => refund_no == other_no && amount_minor == other_minor,
        _ => discriminant(one) == discriminant(other),
    }
}

const fn refunded(fact: &Fact) -> Option<i64> {
    match fact.kind {
        FactKind::Refunded { refunded_minor, .. } => Some(refunded_minor),
        _ => None,
    }
}
