//! What the events of recharges mean for the books.

use std::collections::BTreeMap;

use events::{EventType, PayEvent, PayOrder, PayOrderNo, Purpose, UserId};
use ledger::{Account, Entries, Entry, Flow, FlowKind, InvalidFlow, Owner, PostError};
use storage::{Error, Transaction};
use thiserror::Error;

use super::trans_no_of;
use crate::facts::NewEvent;
use crate::store::recharges;
use crate::store::users::UserKey;

/// What was refunded of the recharges of a batch before its facts, in minor units.
#[derive(Debug)]
pub(crate) struct Before(BTreeMap<PayOrderNo, i64>);

/// Why an event of a recharge cannot be posted. None of it can happen while the database is as we made it.
#[derive(Debug, Error)]
enum PostingError {
    #[error("{0}: no recharge has this pay order")]
    NoRecharge(PayOrderNo),
    #[error(transparent)]
    Invalid(#[from] InvalidFlow),
    #[error(transparent)]
    Post(#[from] PostError),
}

impl From<PostingError> for Error {
    fn from(error: PostingError) -> Self {
        match error {
            PostingError::Post(PostError::Database(error)) => error,
            error => Self::rejected(error),
        }
    }
}

impl Before {
    pub(crate) fn of(orders: &BTreeMap<PayOrderNo, PayOrder>) -> Self {
        let recharges = orders.values().filter(|order| order.purpose == Purpose::Recharge);
        Self(recharges.map(|order| (order.pay_order_no.clone(), order.refunded_minor)).collect())
    }
}

/// Posts what the events of recharges among `events` move, in the transaction of their transitions. Their pay orders are locked; of
/// others nothing is asked.
pub(crate) async fn post(tx: &Transaction<'_>, events: &[NewEvent], before: Before) -> Result<(), Error> {
    let events: Vec<_> = events.iter().map(|new| &new.event).filter(|event| moves_money(event)).collect();
    if events.is_empty() {
        return Ok(());
    }
    let numbers: Vec<_> = events.iter().map(|event| event.order.pay_order_no.as_str()).collect();
    let users = recharges::users(tx, &numbers).await?;
    // A refund takes what is there, so that must be known; a credit does not care. Then all accounts are locked, also those of
    // credits: what `ledger::post` would lock after these could come before them in the order of locks.
    let balances = if events.iter().any(|event| event.event_type == EventType::Refunded) {
        let accounts: Vec<_> = events.iter().filter_map(|event| account(&event.order, &users)).collect();
        ledger::lock(tx, &accounts).await?
    } else {
        BTreeMap::new()
    };
    let flows = Books { users, balances, refunded: before.0 }.flows(&events)?;
    ledger::post(tx, &flows).await.map_err(PostingError::Post)?;
    Ok(())
}

fn moves_money(event: &PayEvent) -> bool {
    event.order.purpose == Purpose::Recharge
        && matches!(event.event_type, EventType::Success | EventType::Refunded)
}

/// The account that is credited.
fn account(order: &PayOrder, users: &BTreeMap<PayOrderNo, UserId>) -> Option<Account> {
    let user_id = users.get(&order.pay_order_no)?.clone();
    Some(UserKey { merchant_id: order.merchant_id.clone(), user_id }.account(order.amount.currency))
}

/// What must be known to tell what events move, kept up as they are gone through.
#[derive(Debug)]
struct Books {
    users: BTreeMap<PayOrderNo, UserId>,
    /// Of the accounts that something is taken from.
    balances: BTreeMap<Account, i64>,
    refunded: BTreeMap<PayOrderNo, i64>,
}

impl Books {
    fn flows(mut self, events: &[&PayEvent]) -> Result<Vec<Flow>, PostingError> {
        events.iter().map(|event| self.flow(event)).collect()
    }

    fn flow(&mut self, event: &PayEvent) -> Result<Flow, PostingError> {
        let order = &event.order;
        let account = account(order, &self.users)
            .ok_or_else(|| PostingError::NoRecharge(order.pay_order_no.clone()))?;
        let channel = Owner::Channel(order.channel.clone());
        let (trans_no, kind, entries) = if event.event_type == EventType::Refunded {
            let entries = self.take_back(order, account, channel)?;
            // Cumulative, so each refund has its own.
            let trans_no = format!("{}:refunded:{}", order.pay_order_no, order.refunded_minor);
            (trans_no, FlowKind::RechargeRefund, entries)
        } else {
            if let Some(balance) = self.balances.get_mut(&account) {
                *balance = balance.saturating_add(order.amount.amount_minor);
            }
            let entries = Entries::transfer(order.amount, channel, account.owner)?;
            (trans_no_of(order), FlowKind::Recharge, entries)
        };
        let pay_order_no = order.pay_order_no.clone();
        Ok(Flow { trans_no, kind, pay_order_no, occurred_at: event.occurred_at, entries })
    }

    /// What the channel gave back comes from the user's account as far as it is there; the merchant owes the rest.
    fn take_back(
        &mut self,
        order: &PayOrder,
        account: Account,
        channel: Owner,
    ) -> Result<Entries, InvalidFlow> {
        let before = self.refunded.insert(order.pay_order_no.clone(), order.refunded_minor);
        let back = order.refunded_minor - before.unwrap_or_default();
        let balance = self.balances.entry(account.clone()).or_default();
        let there = back.min(*balance);
        *balance -= there;
        let shortfall = Owner::Shortfall(order.merchant_id.clone());
        let sides = [(account.owner, -there), (shortfall, there - back), (channel, back)];
        let moved = sides.into_iter().filter(|(_, amount_minor)| *amount_minor != 0);
        let entries = moved.map(|(owner, amount_minor)| Entry { owner, amount_minor }).collect();
        Entries::new(order.amount.currency, entries)
    }
}

#[cfg(test)]
mod tests;
