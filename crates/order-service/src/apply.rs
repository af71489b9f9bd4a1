//! A batch of messages applied to its orders, in one transaction.

use std::collections::BTreeMap;

use events::codec::Incoming;
use storage::{Database, Error, Transaction};

use crate::decide::OrderState;
use crate::fold::{self, Folded, MessageOutcome};
use crate::order::{OrderKey, OrderStatus};
use crate::split::split;
use crate::store::Origin;
use crate::store::applying::{self, Locked, NewNote};
use crate::store::handled::{self, Handled, HandledOutcome};

/// Locks the orders of `messages`, folds the messages into them, and writes what has changed together with the log of
/// handled events. `origins` has one for each message. Answers one outcome for each message.
pub async fn apply(
    database: &Database,
    messages: &[&Incoming],
    origins: &[Origin],
) -> Result<Vec<MessageOutcome>, Error> {
    let attempt = |careful| {
        database
            .transaction(move |tx| Box::pin(async move { apply_in(&tx, messages, origins, careful).await }))
    };
    match attempt(false).await {
        // Perhaps by the log alone: an event id that was used before, or an event that is older than the log.
        Err(error @ Error::Rejected(_)) => {
            tracing::debug!(%error, "a batch is applied once more, with care");
            attempt(true).await
        }
        applied => applied,
    }
}

/// Unless it is `careful`, events that are applied are taken for new to the log, which rejects what is not.
async fn apply_in(
    tx: &Transaction<'_>,
    messages: &[&Incoming],
    origins: &[Origin],
    careful: bool,
) -> Result<Vec<MessageOutcome>, Error> {
    let orders = applying::lock(tx, &fold::keys(messages), fold::looks_at_notes(messages)).await?;
    let states = orders.iter().map(|(key, order)| (key.clone(), &order.state)).collect();
    let Folded { outcomes, changed } = fold::fold(&states, messages);

    let changes: Vec<_> = changed.iter().collect();
    let (splits, notes) = (first_splits(&orders, &changed), new_notes(&orders, &changed));
    let careful = careful || outcomes.iter().any(|outcome| *outcome != MessageOutcome::Applied);
    // Polled together, the statements travel together.
    tokio::try_join!(
        applying::update(tx, &changes),
        applying::insert_sub_orders(tx, &splits),
        applying::insert_notes(tx, &notes),
        handled::insert(tx, log(messages, origins, &outcomes), careful),
    )?;
    fail::fail_point!("orders::before_commit", |_| std::process::abort());
    Ok(outcomes)
}

/// The parts of those orders that awaited payment before the batch and are paid after it.
fn first_splits<'a>(
    orders: &BTreeMap<OrderKey, Locked>,
    changed: &'a BTreeMap<OrderKey, OrderState>,
) -> Vec<(&'a OrderKey, crate::split::SubOrder)> {
    let first_paid = changed.iter().filter_map(|(key, state)| {
        let before = orders.get(key)?;
        let awaited = before.state.status == OrderStatus::AwaitingPayment;
        (awaited && state.status != OrderStatus::AwaitingPayment).then_some((key, before))
    });
    // The sum of an accepted order fits, and so do those of its parts.
    let parts = first_paid
        .flat_map(|(key, order)| split(&order.items).into_iter().flatten().map(move |part| (key, part)));
    parts.collect()
}

fn new_notes<'a>(
    orders: &BTreeMap<OrderKey, Locked>,
    changed: &'a BTreeMap<OrderKey, OrderState>,
) -> Vec<NewNote<'a>> {
    let mut new = Vec::new();
    for (key, state) in changed {
        for (note, occurred_at) in &state.notes {
            let known = orders.get(key).is_some_and(|order| order.state.notes.contains_key(note));
            if !known {
                let (pay_order_no, status) = note;
                new.push(NewNote {
                    key,
                    pay_order_no: pay_order_no.as_ref(),
                    status: *status,
                    occurred_at: *occurred_at,
                });
            }
        }
    }
    new
}

/// A bare order number leaves no row: the full event that follows must still count as the first.
fn log<'a>(
    messages: &[&'a Incoming],
    origins: &'a [Origin],
    outcomes: &[MessageOutcome],
) -> Vec<Handled<'a>> {
    assert!(
        messages.len() == origins.len() && messages.len() == outcomes.len(),
        "each message has its origin and its outcome"
    );
    let rows = messages.iter().zip(origins).zip(outcomes).filter_map(|((message, origin), outcome)| {
        let Incoming::Event(event) = message else {
            return None;
        };
        let outcome = match outcome {
            MessageOutcome::Applied => HandledOutcome::Applied,
            MessageOutcome::Duplicate => HandledOutcome::Duplicate,
            MessageOutcome::NotMine => HandledOutcome::NotMine,
            MessageOutcome::UnknownOrder | MessageOutcome::Refused(_) => return None,
        };
        Some(Handled { event, outcome, origin })
    });
    rows.collect()
}
