//! The transaction of a balance payment: money, pay order, event and outbox, or nothing.

use axum::http::StatusCode;
use events::{ContradictionReason, Fact, FactKind, PayOrderNo, Status, to_micros};
use ledger::{Entries, Flow, FlowKind, InvalidFlow, Owner, PostError};
use runtime::ApiError;
use service::Problem;
use storage::{Database, Error, GenericClient, Transaction};
use thiserror::Error as ThisError;
use time::OffsetDateTime;

use super::{Paid, Payment};
use crate::facts::{FactOutcome, Folded, Job, announce, write_in};
use crate::signals::Signals;
use crate::store::pay_orders::{self, StoredPayOrder};
use crate::store::users::UserKey;

/// Why nothing was paid, and nothing was changed.
#[derive(Debug, ThisError)]
pub(super) enum PaymentRefusal {
    #[error(transparent)]
    Store(#[from] Error),
    #[error("there is no such pay order")]
    NoPayOrder,
    #[error("it is paid by a channel")]
    OtherChannel,
    #[error("it can no longer be paid by this user")]
    Over(Status),
    #[error("the user has no account in the currency of the pay order")]
    NoAccount,
    #[error("the balance is lower than the amount")]
    Insufficient,
    #[error("the ledger refuses it: {0}")]
    Ledger(PostError),
    #[error(transparent)]
    Flow(#[from] InvalidFlow),
    #[error("the pay order refuses it: {0:?}")]
    NotApplied(Option<ContradictionReason>),
}

impl From<PostError> for PaymentRefusal {
    fn from(error: PostError) -> Self {
        match error {
            PostError::Database(error) => Self::Store(error),
            PostError::Insufficient { .. } => Self::Insufficient,
            PostError::NoAccount(_) => Self::NoAccount,
            error => Self::Ledger(error),
        }
    }
}

impl From<PaymentRefusal> for ApiError {
    fn from(refusal: PaymentRefusal) -> Self {
        let problem = match refusal {
            // Where the commit is in doubt the repetition finds out.
            PaymentRefusal::Store(error) => return error.into(),
            PaymentRefusal::NoPayOrder => Problem::not_found("there is no such pay order"),
            PaymentRefusal::OtherChannel => {
                let detail = "this pay order is paid by a channel; make one with the channel `balance`";
                Problem::conflict("not_a_balance_payment", detail)
            }
            PaymentRefusal::Over(status) => {
                let detail = "the pay order is paid by another user, closed, or its time is over";
                Problem::conflict("already_paid_or_closed", detail).member("status", status.as_str())
            }
            PaymentRefusal::NoAccount => {
                let detail = "the user has no account in the currency of the pay order";
                Problem::new(StatusCode::NOT_FOUND, "no_account_in_currency", detail)
            }
            PaymentRefusal::Insufficient => {
                let detail =
                    "the balance is lower than the amount; the pay order can be paid after a recharge";
                Problem::new(StatusCode::PAYMENT_REQUIRED, "insufficient_balance", detail)
            }
            PaymentRefusal::Ledger(_) | PaymentRefusal::Flow(_) | PaymentRefusal::NotApplied(_) => {
                tracing::error!(%refusal, "a balance payment failed");
                Problem::internal()
            }
        };
        problem.into()
    }
}

/// How a pay order stands to a user who wants to pay it, if it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payability {
    Payable,
    /// By this user's earlier payment.
    PaidBefore,
}

/// How `stored` stands to `user` at `now`.
pub(super) async fn check_payable(
    client: &impl GenericClient,
    stored: &StoredPayOrder,
    user: &UserKey,
    now: OffsetDateTime,
) -> Result<Payability, PaymentRefusal> {
    let order = &stored.order;
    if !order.channel.is_balance() {
        return Err(PaymentRefusal::OtherChannel);
    }
    if payable(stored, now) {
        return Ok(Payability::Payable);
    }
    if order.status.is_paid() {
        let (trans_no, account) = (trans_no(&order.pay_order_no), user.account(order.amount.currency));
        if ledger::moved(client, &trans_no, &account).await?.is_some() {
            return Ok(Payability::PaidBefore);
        }
    }
    Err(PaymentRefusal::Over(order.status))
}

/// Whether anybody may still pay it. One that has failed has given way to another pay order of its order.
fn payable(stored: &StoredPayOrder, now: OffsetDateTime) -> bool {
    matches!(stored.order.status, Status::NotCommit | Status::WaitBuyerPay) && now < stored.payable_until
}

/// What the flow of a balance payment is known by; also the trade number of the pay order.
pub(super) fn trans_no(pay_order_no: &PayOrderNo) -> String {
    format!("BP-{pay_order_no}")
}

/// Pays, or finds that this user has paid before. What was changed is committed when this returns, and told to who waits.
pub(super) async fn settle(
    database: &Database,
    signals: &Signals,
    payment: &Payment,
) -> Result<Paid, PaymentRefusal> {
    let settled = database.transaction(|tx| Box::pin(async move { settle_in(&tx, payment).await })).await;
    let (paid, folded) = settled?;
    fail::fail_point!("balance_payment::after_commit", |_| std::process::abort());
    if let Some(folded) = folded {
        announce(signals, &folded);
    }
    Ok(paid)
}

async fn settle_in(
    tx: &Transaction<'_>,
    payment: &Payment,
) -> Result<(Paid, Option<Folded>), PaymentRefusal> {
    let Payment { pay_order_no, user, trace } = payment;
    let stored = pay_orders::lock_one(tx, pay_order_no).await?;
    let stored = stored.filter(|stored| stored.order.merchant_id == user.merchant_id);
    let stored = stored.ok_or(PaymentRefusal::NoPayOrder)?;
    // After the lock: whoever held it may have taken its time.
    let now = to_micros(OffsetDateTime::now_utc());
    if check_payable(tx, &stored, user, now).await? == Payability::PaidBefore {
        return Ok((Paid { order: stored.order, before: true }, None));
    }
    let order = stored.order;
    let trans_no = trans_no(pay_order_no);
    let flow = Flow {
        trans_no: trans_no.clone(),
        kind: FlowKind::BalancePayment,
        pay_order_no: pay_order_no.clone(),
        occurred_at: now,
        entries: Entries::transfer(order.amount, user.owner(), Owner::Merchant(order.merchant_id))?,
    };
    ledger::post(tx, &[flow]).await?;
    let fact = Fact {
        kind: FactKind::Succeeded { paid_at: now },
        account: Some(order.channel),
        amount: Some(order.amount),
        channel_trade_no: Some(trans_no),
        accepted: false,
    };
    let job = Job { pay_order_no: pay_order_no.clone(), fact, trace: trace.clone(), callback: None };
    let folded = write_in(tx, &[job]).await?;
    match (&*folded.outcomes, &*folded.changed) {
        ([FactOutcome::Applied], [order]) => Ok((Paid { order: order.clone(), before: false }, Some(folded))),
        ([FactOutcome::Contradiction(reason)], _) => Err(PaymentRefusal::NotApplied(Some(*reason))),
        _ => Err(PaymentRefusal::NotApplied(None)),
    }
}

#[cfg(test)]
mod tests;
