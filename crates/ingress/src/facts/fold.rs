//! Folding a batch of facts into pay orders. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::once;
use std::mem::discriminant;

use events::{
    ContradictionReason, EventId, Fact, FactKind, PayEvent, PayOrder, PayOrderNo, Verdict, transition,
};
use time::OffsetDateTime;

use super::{Job, Outcome};
use crate::trace_context::TraceContext;

/// What a batch of facts comes to.
#[derive(Debug)]
pub(super) struct Folded {
    /// One per job, in their order.
    pub(super) outcomes: Vec<Outcome>,
    /// The final state of every pay order that has changed, sorted by number.
    pub(super) changed: Vec<PayOrder>,
    /// One per transition that concerns others, in the order of the transitions.
    pub(super) events: Vec<NewEvent>,
    /// One per pay order, reason and channel trade, sorted by them.
    pub(super) contradictions: Vec<Contradiction>,
}

/// An event with the trace of the fact that caused it.
#[derive(Debug, Clone)]
pub(crate) struct NewEvent {
    pub(crate) event: PayEvent,
    pub(crate) trace: TraceContext,
}

/// A fact that contradicts what is known.
#[derive(Debug, Clone)]
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
    fn new(job: &Job, reason: ContradictionReason, ours: Option<PayOrder>) -> Self {
        let (pay_order_no, theirs) = (job.pay_order_no.clone(), job.fact.clone());
        Self { pay_order_no, reason, ours, theirs, also: Vec::new(), count: 1 }
    }

    fn add(&mut self, fact: &Fact) {
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

/// Folds the facts of `jobs`, in their order, into `orders`, which holds those pay orders that exist.
pub(super) fn fold(mut orders: BTreeMap<PayOrderNo, PayOrder>, jobs: &[Job], now: OffsetDateTime) -> Folded {
    let mut changed = BTreeSet::new();
    let mut events = Vec::new();
    let mut contradictions = BTreeMap::new();
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in jobs {
        let known = orders.get_mut(&job.pay_order_no);
        let verdict = match &known {
            Some(order) => transition(order, &job.fact),
            None => Verdict::Contradiction(ContradictionReason::UnknownPayOrder),
        };
        outcomes.push(match (verdict, known) {
            (Verdict::Applied(steps), Some(order)) => {
                for step in steps {
                    *order = step.order.clone();
                    events.extend(step.event.map(|event_type| NewEvent {
                        event: PayEvent {
                            event_id: EventId::generate(),
                            event_type,
                            order: step.order,
                            occurred_at: now,
                        },
                        trace: job.trace.clone(),
                    }));
                }
                changed.insert(&job.pay_order_no);
                Outcome::Applied
            }
            (Verdict::Contradiction(reason), known) => {
                note(&mut contradictions, job, reason, known.cloned());
                Outcome::Contradiction(reason)
            }
            (Verdict::Duplicate | Verdict::Applied(_), _) => Outcome::Duplicate,
        });
    }
    let changed = changed.into_iter().filter_map(|number| orders.remove(number)).collect();
    Folded { outcomes, changed, events, contradictions: contradictions.into_values().collect() }
}

/// What makes contradictions the same: pay order, reason, and channel trade, if one was named.
type Key<'a> = (&'a PayOrderNo, &'static str, Option<&'a str>);

fn note<'a>(
    contradictions: &mut BTreeMap<Key<'a>, Contradiction>,
    job: &'a Job,
    reason: ContradictionReason,
    ours: Option<PayOrder>,
) {
    let key = (&job.pay_order_no, reason.as_str(), job.fact.channel_trade_no.as_deref());
    contradictions
        .entry(key)
        .and_modify(|known: &mut Contradiction| known.add(&job.fact))
        .or_insert_with(|| Contradiction::new(job, reason, ours));
}

#[cfg(test)]
mod tests;
