//! Folding a batch of facts into pay orders. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::once;
use std::mem::discriminant;

use events::{
    ContradictionReason, EventId, Fact, FactKind, PayEvent, PayOrder, PayOrderNo, Verdict, transition,
};
use time::OffsetDateTime;

use super::{Job, Outcome};
use crate::recharges::Trades;
use crate::trace_context::TraceContext;

/// What a batch of facts comes to.
#[derive(Debug)]
pub(crate) struct Folded {
    /// One per job, in their order.
    pub(crate) outcomes: Vec<Outcome>,
    /// The final state of every pay order that has changed, sorted by number.
    pub(crate) changed: Vec<PayOrder>,
    /// One per transition that concerns others, in the order of the transitions.
    pub(super) events: Vec<NewEvent>,
    /// One per pay order, reason and channel trade, sorted by them.
    pub(super) contradictions: Vec<Contradiction>,
    /// The refunds that were stated by themselves and are counted now, in the order of the transitions.
    pub(super) refunds: Vec<NewRefund>,
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

/// The pay orders whose counted refunds [`fold`] needs to know.
pub(super) fn refunded_by_parts(jobs: &[Job]) -> Vec<&str> {
    let parts = jobs.iter().filter(|job| matches!(job.fact.kind, FactKind::PartRefunded { .. }));
    parts.map(|job| job.pay_order_no.as_str()).collect()
}

/// Folds the facts of `jobs`, in their order, into `orders`, which holds those pay orders that exist. `counted` holds the refunds of
/// those that are [`refunded_by_parts`], `trades` what has paid recharges.
pub(super) fn fold(
    mut orders: BTreeMap<PayOrderNo, PayOrder>,
    (mut counted, mut trades): (Counted, Trades),
    jobs: &[Job],
    now: OffsetDateTime,
) -> Folded {
    let mut changed = BTreeSet::new();
    let (mut events, mut refunds) = (Vec::new(), Vec::new());
    let mut contradictions = BTreeMap::new();
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in jobs {
        let known = orders.get_mut(&job.pay_order_no);
        let verdict = match &known {
            Some(order) => trades.check(judge(order, &job.fact, &counted)),
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
                if let Some(refund) = new_refund(job) {
                    let key = (refund.pay_order_no.clone(), refund.refund_no.clone());
                    counted.insert(key, refund.amount_minor);
                    refunds.push(refund);
                }
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
    Folded { outcomes, changed, events, contradictions: contradictions.into_values().collect(), refunds }
}

/// What a fact means for its pay order. A refund that is counted already says nothing new; all else that it states is checked
/// as ever.
fn judge(order: &PayOrder, fact: &Fact, counted: &Counted) -> Verdict {
    let FactKind::PartRefunded { refund_no, amount_minor, refunded_at } = &fact.kind else {
        return transition(order, fact);
    };
    let Some(known_minor) = counted.get(&(order.pay_order_no.clone(), refund_no.clone())) else {
        return transition(order, fact);
    };
    let nothing_new = FactKind::Refunded { refunded_minor: order.refunded_minor, refunded_at: *refunded_at };
    match transition(order, &Fact { kind: nothing_new, ..fact.clone() }) {
        Verdict::Duplicate if known_minor != amount_minor => {
            Verdict::Contradiction(ContradictionReason::AmountMismatch)
        }
        verdict => verdict,
    }
}

fn new_refund(job: &Job) -> Option<NewRefund> {
    let FactKind::PartRefunded { refund_no, amount_minor, refunded_at } = &job.fact.kind else {
        return None;
    };
    let (pay_order_no, refund_no) = (job.pay_order_no.clone(), refund_no.clone());
    Some(NewRefund { pay_order_no, refund_no, amount_minor: *amount_minor, refunded_at: *refunded_at })
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
