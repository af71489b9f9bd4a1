//! One batch on one channel: publish all, await every confirm, then see what was returned.

use std::collections::HashMap;

use futures_util::future::maybe_done;
use futures_util::poll;
use lapin::message::BasicReturnMessage;
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};
use metrics::counter;

use super::{CONFIRM_TIMEOUT, MAX_BATCH, PublishOutcome};
use crate::error::PublishError;
use crate::message::Encoded;

/// What tells messages of a batch apart: exchange, routing key, message id. Messages alike in all share one outcome.
type Key = (ShortString, ShortString, ShortString);

/// Publishes a batch, in parts of [`MAX_BATCH`].
pub(super) async fn publish(
    channel: &Channel,
    batch: Vec<Encoded>,
) -> Result<Vec<PublishOutcome>, PublishError> {
    let mut outcomes = Vec::with_capacity(batch.len());
    let mut batch = batch.into_iter();
    while batch.len() > 0 {
        fail::fail_point!("publisher::before_publish", |_| std::process::abort());
        let part = batch.by_ref().take(MAX_BATCH).collect();
        let publishing = tokio::time::timeout(CONFIRM_TIMEOUT, publish_part(channel, part));
        outcomes.extend(publishing.await.map_err(|_| PublishError::TimedOut(CONFIRM_TIMEOUT))??);
        fail::fail_point!("publisher::after_confirm", |_| std::process::abort());
    }
    Ok(outcomes)
}

async fn publish_part(channel: &Channel, part: Vec<Encoded>) -> Result<Vec<PublishOutcome>, PublishError> {
    let keys: Vec<_> = part
        .iter()
        .map(|message| key(&message.exchange, &message.routing_key, &message.properties))
        .collect();
    let confirms = send(channel, part).await?;
    fail::fail_point!("publisher::after_publish", |_| std::process::abort());
    let mut outcomes = Vec::with_capacity(confirms.len());
    let mut returned = HashMap::new();
    // From the last on: once that one is here, so are mostly all, and there is no waking up for each.
    for confirm in confirms.into_iter().rev() {
        let (outcome, carried) = match confirm.await? {
            Confirmation::Ack(carried) => (PublishOutcome::Confirmed, carried),
            Confirmation::Nack(carried) => (PublishOutcome::Nacked, carried),
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
    outcomes.reverse();
    mark_returned(&keys, &mut outcomes, &returned)?;
    Ok(outcomes)
}

/// Sends all messages; the confirms that are to come, in their order.
///
/// The first poll of a publish queues its frames, its end tells that they are written. So each is polled once, in order, before any is
/// waited for: their frames leave in a few writes. One after the other, each would cost a write, and a change of threads and back.
async fn send(channel: &Channel, part: Vec<Encoded>) -> lapin::Result<Vec<PublisherConfirm>> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let mut sending = Vec::with_capacity(part.len());
    for Encoded { exchange, routing_key, properties, body } in part {
        let publish =
            async move { channel.basic_publish(exchange, routing_key, options, &body, properties).await };
        let mut publish = Box::pin(maybe_done(publish));
        let _queued = poll!(&mut publish);
        sending.push(publish);
    }
    let mut confirms = Vec::with_capacity(sending.len());
    for mut publish in sending {
        publish.as_mut().await;
        confirms.extend(publish.as_mut().take_output().transpose()?);
    }
    Ok(confirms)
}

fn key(exchange: &ShortString, routing_key: &ShortString, properties: &BasicProperties) -> Key {
    (exchange.clone(), routing_key.clone(), properties.message_id().clone().unwrap_or_default())
}

/// Finds the messages of every return. Of several that are alike none counts as published, for which one was returned
/// cannot be told. A return that belongs to none means that no outcome can be trusted.
fn mark_returned(
    keys: &[Key],
    outcomes: &mut [PublishOutcome],
    returned: &HashMap<Key, String>,
) -> Result<(), PublishError> {
    if let Some((exchange, routing_key, message_id)) = returned.keys().find(|key| !keys.contains(key)) {
        return Err(PublishError::Confused(format!(
            "{message_id:?} ({exchange:?}, {routing_key:?}) was returned, but not published here"
        )));
    }
    assert_eq!(keys.len(), outcomes.len(), "each message has its outcome");
    for (key, outcome) in keys.iter().zip(outcomes) {
        if let Some(reason) = returned.get(key) {
            *outcome = PublishOutcome::Returned { reason: reason.clone() };
        }
    }
    Ok(())
}

/// Counts what became of a batch.
pub(super) fn count(messages: usize, result: &Result<Vec<PublishOutcome>, PublishError>) {
    let add = |outcome: &'static str, messages: usize| {
        if messages > 0 {
            counter!("payrelay_published_total", "outcome" => outcome).increment(messages as u64);
        }
    };
    let Ok(outcomes) = result else { return add("unknown", messages) };
    let of = |wanted: fn(&PublishOutcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count();
    add("confirmed", of(|outcome| matches!(outcome, PublishOutcome::Confirmed)));
    add("returned", of(|outcome| matches!(outcome, PublishOutcome::Returned { .. })));
    add("nacked", of(|outcome| matches!(outcome, PublishOutcome::Nacked)));
}

#[cfg(test)]
mod tests;
