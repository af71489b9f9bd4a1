//! A batch of messages folded into the orders that they are about. Pure.

use std::collections::{BTreeMap, BTreeSet};

use events::codec::Incoming;
use events::{EventType, Purpose};

use crate::decide::{Decision, MessageRefusal, OrderState, decide};
use crate::order::OrderKey;

/// What becomes of one message of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageOutcome {
    /// It changes its order.
    Applied,
    /// Its order knows it already.
    Duplicate,
    /// It belongs to the books of somebody else.
    NotMine,
    /// Its order does not exist, yet.
    UnknownOrder,
    /// It never can be applied.
    Refused(MessageRefusal),
}

/// The result of a batch.
#[derive(Debug)]
pub struct Folded {
    /// One for each message, in their order.
    pub outcomes: Vec<MessageOutcome>,
    /// The final states of those orders that change.
    pub changed: BTreeMap<OrderKey, OrderState>,
}

/// The order that a message is about.
pub fn key(message: &Incoming) -> OrderKey {
    let (merchant_id, order_no) = match message {
        Incoming::Event(event) => (&event.order.merchant_id, &event.order.order_no),
        Incoming::Bare(bare) => (&bare.merchant_id, &bare.order_no),
    };
    OrderKey { merchant_id: merchant_id.clone(), order_no: order_no.clone() }
}

/// The orders that a batch looks at.
pub fn keys(messages: &[&Incoming]) -> BTreeSet<OrderKey> {
    messages.iter().filter(|message| is_mine(message)).map(|message| key(message)).collect()
}

/// Whether a batch looks at the notes on its orders.
pub fn looks_at_notes(messages: &[&Incoming]) -> bool {
    messages.iter().any(|message| {
        let event_type = match message {
            Incoming::Event(event) => event.event_type,
            Incoming::Bare(bare) => bare.event_type,
        };
        matches!(event_type, EventType::Failed | EventType::Closed)
    })
}

/// Folds messages in the order of their arrival: each is decided on what the ones before it have left.
pub fn fold(orders: &BTreeMap<OrderKey, &OrderState>, messages: &[&Incoming]) -> Folded {
    let mut changed = BTreeMap::new();
    let outcomes = messages.iter().map(|message| {
        if !is_mine(message) {
            return MessageOutcome::NotMine;
        }
        let key = key(message);
        let Some(state) = changed.get(&key).or_else(|| orders.get(&key).copied()) else {
            return MessageOutcome::UnknownOrder;
        };
        match decide(state, message) {
            Decision::Applied(next) => {
                changed.insert(key, next);
                MessageOutcome::Applied
            }
            Decision::Duplicate => MessageOutcome::Duplicate,
            Decision::Refused(refusal) => MessageOutcome::Refused(refusal),
        }
    });
    Folded { outcomes: outcomes.collect(), changed }
}

fn is_mine(message: &Incoming) -> bool {
    match message {
        Incoming::Event(event) => event.order.purpose == Purpose::Order,
        Incoming::Bare(_) => true,
    }
}
