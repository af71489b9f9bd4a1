//! What an operator decides about a contradiction: it is dismissed, or the payment is accepted.

use admin_api::contradiction::{Action, Contradiction, Resolve};
use events::{ContradictionReason, PayOrderNo, to_micros};
use storage::{Database, Error, Transaction};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use super::fold::Folded;
use super::model::{FactOutcome, Job};
use super::writer::{announce, write_in};
use crate::signals::Signals;
use crate::store::contradictions::{self, Stored};
use crate::store::pay_orders;
use crate::trace_context::TraceContext;

/// Why a decision was not taken. Nothing was written.
#[derive(Debug, Error)]
pub(crate) enum DecisionRefusal {
    #[error(transparent)]
    Store(#[from] Error),
    #[error("there is no such contradiction")]
    Unknown,
    #[error("already resolved with another decision")]
    Otherwise(Box<Contradiction>),
    #[error("only a payment after the close can be accepted, not a {0}")]
    NotAcceptable(ContradictionReason),
    #[error("the order has the pay order {0}")]
    OtherPayOrder(PayOrderNo),
    #[error("it contradicts still: {0}")]
    StillContradicts(ContradictionReason),
}

/// Takes the decision in one transaction, and wakes who waits for what follows from it. The same decision again changes
/// nothing; the first note stays.
pub(crate) async fn resolve(
    database: &Database,
    signals: &Signals,
    id: Uuid,
    decision: &Resolve,
    trace: &TraceContext,
) -> Result<Contradiction, DecisionRefusal> {
    let attempt =
        || database.transaction(|tx| Box::pin(async move { resolve_in(&tx, id, decision, trace).await }));
    let (resolved, folded) = match attempt().await {
        // The order got another pay order at the same time: now it is seen.
        Err(DecisionRefusal::Store(Error::Rejected(_))) => attempt().await?,
        done => done?,
    };
    if let Some(folded) = folded {
        announce(signals, &folded);
    }
    Ok(resolved)
}

async fn resolve_in(
    tx: &Transaction<'_>,
    id: Uuid,
    decision: &Resolve,
    trace: &TraceContext,
) -> Result<(Contradiction, Option<Folded>), DecisionRefusal> {
    if decision.action == Action::Accepted {
        let stored = contradictions::find(tx, id).await?.ok_or(DecisionRefusal::Unknown)?;
        // Before the contradiction, as the writer of facts does.
        pay_orders::lock(tx, &[stored.pay_order_no.as_str()]).await?;
    }
    let mut stored = contradictions::lock(tx, id).await?.ok_or(DecisionRefusal::Unknown)?;
    match &stored.shown.resolution {
        Some(resolution) if resolution.action == decision.action => return Ok((stored.shown, None)),
        Some(_) => return Err(DecisionRefusal::Otherwise(Box::new(stored.shown))),
        None => {}
    }
    let folded = match decision.action {
        Action::Accepted => Some(accept(tx, &stored, trace).await?),
        Action::Dismissed => None,
    };
    let now = to_micros(OffsetDateTime::now_utc());
    stored.shown.resolution = Some(contradictions::resolve(tx, id, decision, now).await?);
    Ok((stored.shown, folded))
}

/// Lets what was stated pay the closed pay order, through the same transition as ever, and makes that the active one of its
/// order again.
async fn accept(
    tx: &Transaction<'_>,
    stored: &Stored,
    trace: &TraceContext,
) -> Result<Folded, DecisionRefusal> {
    let number = &stored.pay_order_no;
    if stored.reason != ContradictionReason::SuccessAfterClose {
        return Err(DecisionRefusal::NotAcceptable(stored.reason));
    }
    let orders = pay_orders::lock(tx, &[number.as_str()]).await?;
    let order =
        orders.get(number).ok_or(DecisionRefusal::NotAcceptable(ContradictionReason::UnknownPayOrder))?;
    if let Some(other) = pay_orders::find_other_pay_order_in_effect(tx, order).await? {
        return Err(DecisionRefusal::OtherPayOrder(other));
    }
    let job = |fact| Job { pay_order_no: number.clone(), fact, trace: trace.clone(), callback: None };
    let jobs: Vec<_> = stored.payment.iter().cloned().map(job).collect();
    let folded = write_in(tx, &jobs).await?;
    if let Some(reason) = folded.outcomes.iter().copied().find_map(contradicts) {
        return Err(DecisionRefusal::StillContradicts(reason));
    }
    pay_orders::reactivate(tx, number).await?;
    Ok(folded)
}

const fn contradicts(outcome: FactOutcome) -> Option<ContradictionReason> {
    match outcome {
        FactOutcome::Contradiction(reason) => Some(reason),
        FactOutcome::Applied | FactOutcome::Duplicate => None,
    }
}
