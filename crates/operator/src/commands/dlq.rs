//! `payrelay dlq`: what consumers could not use, and what to do with it.

mod discard;
mod list;
mod replay;
mod show;
mod view;

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use events::OrderNo;
use messaging::{Broker, ConsumerQueue, DeadLetter, DeadLetters, RetryDelays, Topology};

use super::broker;
use crate::failure::{CommandResult, Failure};

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// List every dead-letter queue: depth, age of the oldest message, counts by reason.
    ///
    /// Age and counts are those of the first 1000 messages. What another command holds at the moment is not counted.
    List,
    /// Show messages of a dead-letter queue, decoded, and leave them where they are.
    ///
    /// The first 1000 messages are looked at.
    Show {
        #[command(flatten)]
        selection: Selection,
        /// How many to show at most.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Send messages to their queue again, as new ones, and remove each once the broker has confirmed it there.
    ///
    /// It may be interrupted, repeated, and run from two terminals: nothing is lost, and what is sent twice consumers absorb.
    /// What fails again meanwhile is not sent once more.
    Replay(replay::Replay),
    /// Write messages to a file and remove them for good. Asks first.
    Discard(discard::Discard),
}

/// Which messages are meant.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// The queue, as trade.pay.success.queue, or its dead-letter queue; also one that another team has made by that rule.
    #[arg(value_name = "QUEUE", value_parser = parse_queue)]
    queue: ConsumerQueue,
    /// Only those that are here for this reason, as `attempts_exhausted`.
    #[arg(long)]
    reason: Option<String>,
    /// Only those about this order.
    #[arg(long, value_name = "ORDER_NO")]
    order: Option<OrderNo>,
}

impl Selection {
    fn matches(&self, letter: &DeadLetter) -> bool {
        self.reason.as_ref().is_none_or(|reason| *reason == letter.reason)
            && self.order.as_ref().is_none_or(|order| view::order_no(letter).as_ref() == Some(order))
    }
}

/// Runs the command.
pub(crate) async fn run(command: DlqCommand, json: bool) -> CommandResult {
    match command {
        DlqCommand::List => list::run(json).await,
        DlqCommand::Show { selection, limit } => show::run(&selection, limit as usize, json).await,
        DlqCommand::Replay(options) => replay::run(&options, json).await,
        DlqCommand::Discard(options) => discard::run(&options, json).await,
    }
}

async fn open(broker: &Broker, queue: &ConsumerQueue) -> Result<DeadLetters, Failure> {
    DeadLetters::open(broker, queue).await.map_err(broker::failure)?.ok_or_else(|| missing(queue))
}

fn missing(queue: &ConsumerQueue) -> Failure {
    let remedy = if queues().contains(queue) {
        "declare it: payrelay topology apply"
    } else {
        "its own consumer declares it"
    };
    Failure::Findings(format!("there is no queue {}; {remedy}", queue.dead_letter_queue()))
}

/// The main queues; they do not depend on the retry delays.
fn queues() -> Vec<ConsumerQueue> {
    Topology::payrelay(&RetryDelays::default()).queues
}

/// payrelay's own queues, and those that other teams have made in the same way, as `points.pay.success.queue`.
fn parse_queue(text: &str) -> Result<ConsumerQueue, String> {
    let main = text.strip_suffix(".dlq").unwrap_or(text);
    let keys: BTreeSet<_> = queues().into_iter().map(|queue| queue.routing_key).collect();
    let named = keys.iter().find_map(|key| {
        let consumer = main.strip_suffix(".queue")?.strip_suffix(key)?.strip_suffix('.')?;
        (!consumer.is_empty()).then(|| ConsumerQueue::new(consumer, key))
    });
    named.ok_or_else(|| {
        let own: Vec<_> = queues().into_iter().map(|queue| queue.queue).collect();
        format!("expected one of {}, or another consumer's queue of such a name", own.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_named_by_its_own_name_or_that_of_its_dead_letter_queue() {
        for text in ["trade.pay.success.queue", "trade.pay.success.queue.dlq"] {
            assert_eq!(parse_queue(text), Ok(ConsumerQueue::new("trade", "pay.success")));
        }
        assert_eq!(
            parse_queue("points.pay.refunded.queue.dlq"),
            Ok(ConsumerQueue::new("points", "pay.refunded"))
        );
        for text in [".pay.success.queue", "pay.success.queue", "trade.pay.success", "trade.pay.task.queue"] {
            assert!(parse_queue(text).is_err(), "{text}");
        }
        assert!(parse_queue("pay.retry.5s").is_err_and(|error| error.contains("merchant.pay.closed.queue")));
    }
}
