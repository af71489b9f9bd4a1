//! Folding a batch of facts into pay orders. Pure.

use std::collections::{BTreeMap, BTreeSet};

use events::{
    ContradictionReason, EventId, Fact, FactKind, PayEvent, PayOrder, PayOrderNo, Transition, transition,
};
use time::OffsetDateTime;

use super::model::{Contradiction, Counted, FactOutcome, Job, NewEvent, NewRefund};
use crate::recharges::Trades;

/// What a batch of facts comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Folded {
    /// One per job, in their order.
    pub(crate) outcomes: Vec<FactOutcome>,
    /// The final state of every pay order that has changed, sorted by number.
    pub(crate) changed: Vec<PayOrder>,
    /// One per transition that concerns others, in the order of the transitions.
    pub(super) events: Vec<NewEvent>,
    /// One per pay order, reason and channel trade, sorted by them.
    pub(super) contradictions: Vec<Contradiction>,
    /// The refunds that were stated by themselves and are counted now, in the order of the transitions.
    pub(super) refunds: Vec<NewRefund>,
}

/// The pay orders whose counted refunds [`fold`] needs to know.
pub(super) fn refunded_by_parts(jobs: &[Job]) -> Vec<&str> {
    let parts = jobs.iter().filter(|job| matches!(job.fact.kind, FactKind::PartRefunded { .. }));
    parts.map(|job| job.pay_order_no.as_str()).collect()
}

/// What was known before the facts of a batch, beside the pay orders.
#[derive(Debug, Default)]
pub(super) struct Prior {
    /// The refunds of those pay orders that are [`refunded_by_parts`].
    pub(super) counted: Counted,
    /// What has paid recharges.
    pub(super) trades: Trades,
}

/// Folds the facts of `jobs`, in their order, into `orders`, which holds those pay orders that exist. Events happen `now` and take
/// their ids from `new_id`.
pub(super) fn fold(
    mut orders: BTreeMap<PayOrderNo, PayOrder>,
    Prior { mut counted, mut trades }: Prior,
    jobs: &[Job],
    now: OffsetDateTime,
    mut new_id: impl FnMut() -> EventId,
) -> Folded {
    let mut changed = BTreeSet::new();
    let (mut events, mut refunds) = (Vec::new(), Vec::new());
    let mut contradictions = BTreeMap::new();
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in jobs {
        let known = orders.get_mut(&job.pay_order_no);
        let verdict = match &known {
            Some(order) => trades.check(judge(order, &job.fact, &counted)),
            None => Transition::Contradiction(ContradictionReason::UnknownPayOrder),
        };
        outcomes.push(match (verdict, known) {
            (Transition::Applied(steps), Some(order)) => {
                for step in steps {
                    *order = step.order.clone();
                    events.extend(step.event.map(|event_type| NewEvent {
                        event: PayEvent {
                            event_id: new_id(),
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
                FactOutcome::Applied
            }
            (Transition::Contradiction(reason), known) => {
                note(&mut contradictions, job, reason, known.cloned());
                FactOutcome::Contradiction(reason)
            }
            (Transition::Duplicate, _) => FactOutcome::Duplicate,
            (Transition::Applied(_), None) => {
                unreachable!("nothing applies to a pay order that nobody knows")
            }
        });
    }
    let changed = changed.into_iter().filter_map(|number| orders.remove(number)).collect();
    Folded { outcomes, changed, events, contradictions: contradictions.into_values().collect(), refunds }
}

/// What a fact means for its pay order. A refund that is counted already says nothing new; all else that it states is checked
/// as ever.
fn judge(order: &PayOrder, fact: &Fact, counted: &Counted) -> Transition {
    let FactKind::PartRefunded { refund_no, amount_minor, refunded_at } = &fact.kind else {
        return transition(order, fact);
    };
    let Some(known_minor) = counted.get(&(order.pay_order_no.clone(), refund_no.clone())) else {
        return transition(order, fact);
    };
    let nothing_new = FactKind::Refunded { refunded_minor: order.refunded_minor, refunded_at: *refunded_at };
    match transition(order, &Fact { kind: nothing_new, ..fact.clone() }) {
        Transition::Duplicate if known_minor != amount_minor => {
            Transition::Contradiction(ContradictionReason::AmountMismatch)
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
