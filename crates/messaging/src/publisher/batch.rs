//! One batch on one channel: publish all, await every confirm, then see what was returned.

use std::collections::HashMap;

use lapin::message::BasicReturnMessage;
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use metrics::counter;

use super::{CONFIRM_TIMEOUT, MAX_BATCH, Outcome, PublishError};
use crate::message::Encoded;

/// What tells messages of a batch apart: exchange, routing key, message id. Messages alike in all share one outcome.
type Key = (String, String, String);

/// Publishes a batch, in parts of [`MAX_BATCH`].
pub(super) async fn publish(channel: &Channel, batch: &[Encoded]) -> Result<Vec<Outcome>, PublishError> {
    let mut outcomes = Vec::with_capacity(batch.len());
    for part in batch.chunks(MAX_BATCH) {
        fail::fail_point!("publisher::before_publish", |_| std::process::abort());
        let publishing = tokio::time::timeout(CONFIRM_TIMEOUT, publish_part(channel, part));
        outcomes.extend(publishing.await.map_err(|_| PublishError::TimedOut(CONFIRM_TIMEOUT))??);
        fail::fail_point!("publisher::after_confirm", |_| std::process::abort());
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
    fail::fail_point!("publisher::after_publish", |_| std::process::abort());
    let mut outcomes = Vec::with_capacity(part.len());
    let mut returned = HashMap::new();
    for confirm in confirms {
        let (outcome, carried) = match confirm.await? {
            Confirmation::Ack(carried) => (Outcome::Confirmed, carried),
            Confirmation::Nack(carried) => (Outcome::Nacked, carried),
            Confirmation::NotRequested => {
                return Err(PublishError::Confused("confirms were not requested".to_owned()));
            }
        };
        outcomes.push(outcome);
        // The client hangs a returned message onto whichever confirm resolves next, not onto its own. A return comes
        // before its own confirm, so that all have been popped once every confirm has resolved.
        if let Some(BasicReturnMessage { delivery, reply_text, .. }) = carried {
            let key = key(&delivery.exchange, &delivery.routing_key, &delivery.properties);
            returned.insert(key, reply_text.to_string());
        }
    }
    let keys: Vec<_> = part
        .iter()
        .map(|message| key(&message.exchange, &message.routing_key, &message.properties))
        .collect();
    mark_returned(&keys, &mut outcomes, &returned)?;
    Ok(outcomes)
}

fn key(exchange: &ShortString, routing_key: &ShortString, properties: &BasicProperties) -> Key {
    let message_id = properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
    (exchange.to_string(), routing_key.to_string(), message_id)
}

/// Finds the messages of every return. Of several that are alike none counts as published, for which one was returned
/// cannot be told. A return that belongs to none means that no outcome can be trusted.
fn mark_returned(
    keys: &[Key],
    outcomes: &mut [Outcome],
    returned: &HashMap<Key, String>,
) -> Result<(), PublishError> {
    if let Some((exchange, routing_key, message_id)) = returned.keys().find(|key| !keys.contains(key)) {
        return Err(PublishError::Confused(format!(
            "{message_id:?} ({exchange:?}, {routing_key:?}) was returned, but not published here"
        )));
    }
    for (key, outcome) in keys.iter().zip(outcomes) {
        if let Some(reason) = returned.get(key) {
            *outcome = Outcome::Returned { reason: reason.clone() };
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests;
