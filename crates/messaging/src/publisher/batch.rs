//! One batch on one channel: publish all, await every confirm, then see what was returned.

use std::collections::HashMap;

use lapin::options::BasicPublishOptions;
use lapin::{Channel, Confirmation};
use metrics::counter;

use super::{CONFIRM_TIMEOUT, MAX_BATCH, Outcome, PublishError};
use crate::message::Encoded;

/// What tells messages of a batch apart: message id, exchange, routing key. Messages alike in all are routed alike.
type Key<'a> = (&'a str, &'a str, &'a str);

/// Publishes a batch, in parts of [`MAX_BATCH`].
pub(super) async fn publish(channel: &Channel, batch: &[Encoded]) -> Result<Vec<Outcome>, PublishError> {
    let mut outcomes = Vec::with_capacity(batch.len());
    for part in batch.chunks(MAX_BATCH) {
        let publishing = tokio::time::timeout(CONFIRM_TIMEOUT, publish_part(channel, part));
        outcomes.extend(publishing.await.map_err(|_| PublishError::TimedOut(CONFIRM_TIMEOUT))??);
    }
    Ok(outcomes)
}

async fn publish_part(channel: &Channel, part: &[Encoded]) -> Result<Vec<Outcome>, PublishError> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let mut confirms = Vec::with_capacity(part.len());
    for message in part {
        let (exchange, routing_key) = (message.exchange.clone(), message.routing_key.clone());
        let properties = message.properties.clone();
        confirms
            .push(channel.basic_publish(exchange, routing_key, options, &message.body, properties).await?);
    }
    let mut outcomes = Vec::with_capacity(part.len());
    let mut returned: HashMap<(String, String, String), Vec<String>> = HashMap::new();
    for confirm in confirms {
        let (outcome, carried) = match confirm.await? {
            Confirmation::Ack(carried) => (Outcome::Confirmed, carried),
            Confirmation::Nack(carried) => (Outcome::Nacked, carried),
            Confirmation::NotRequested => {
                return Err(PublishError::Confused("confirms were not requested".to_owned()));
            }
        };
        outcomes.push(outcome);
        // The client hangs a returned message onto whichever confirm resolves next, not onto its own.
        if let Some(message) = carried {
            let id = message
                .delivery
                .properties
                .message_id()
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            let key = (id, message.delivery.exchange.to_string(), message.delivery.routing_key.to_string());
            returned.entry(key).or_default().push(message.reply_text.to_string());
        }
    }
    mark_returned(part, &mut outcomes, returned)?;
    Ok(outcomes)
}

/// Finds the message of every return. One that belongs to none means that outcomes cannot be trusted.
fn mark_returned(
    part: &[Encoded],
    outcomes: &mut [Outcome],
    mut returned: HashMap<(String, String, String), Vec<String>>,
) -> Result<(), PublishError> {
    for (message, outcome) in part.iter().zip(outcomes) {
        let (id, exchange, routing_key) = key(message);
        let key = (id.to_owned(), exchange.to_owned(), routing_key.to_owned());
        if returned.is_empty() {
            return Ok(());
        }
        if let Some(reasons) = returned.get_mut(&key) {
            if let Some(reason) = reasons.pop() {
                *outcome = Outcome::Returned { reason };
            }
            if reasons.is_empty() {
                returned.remove(&key);
            }
        }
    }
    match returned.into_keys().next() {
        None => Ok(()),
        Some((id, ..)) => Err(PublishError::Confused(format!("{id} was returned, but not published here"))),
    }
}

fn key(message: &Encoded) -> Key<'_> {
    let id = message.properties.message_id().as_ref().map_or("", |id| id.as_str());
    (id, message.exchange.as_str(), message.routing_key.as_str())
}

/// Counts what became of a batch.
pub(super) fn count(messages: usize, result: &Result<Vec<Outcome>, PublishError>) {
    let add = |outcome: &'static str, messages: usize| {
        if messages > 0 {
            counter!("payrelay_published_total", "outcome" => outcome).increment(messages as u64);
        }
    };
    let Ok(outcomes) = result else { return add("unknown", messages) };
    let of = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count();
    add("confirmed", of(|outcome| matches!(outcome, Outcome::Confirmed)));
    add("returned", of(|outcome| matches!(outcome, Outcome::Returned { .. })));
    add("nacked", of(|outcome| matches!(outcome, Outcome::Nacked)));
}
