//! `payrelay dlq`: what consumers could not use, and what to do with it.

mod discard;
mod list;
mod replay;
mod show;
mod view;

use clap::{Args, Subcommand};
use events::OrderNo;
use messaging::{Broker, ConsumerQueue, DeadLetter, DeadLetters, RetryDelays, Topology};

use super::broker;
use crate::failure::{Failure, Outcome};

/// Messages that are published or written, and then removed, at a time.
const BATCH: usize = 100;

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
    /// The queue, as trade.pay.success.queue, or its dead-letter queue.
    #[arg(value_name = "QUEUE", value_parser = parse_queue)]
    queue: ConsumerQueue,
    /// Only those that are here for this reason, as `unknown_order`.
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
pub(crate) async fn run(command: DlqCommand, json: bool) -> Outcome {
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
    Failure::Findings(format!(
        "there is no queue {}; declare it: payrelay topology apply",
        queue.dead_letter_queue()
    ))
}

/// The main queues; they do not depend on the retry delays.
fn queues() -> Vec<ConsumerQueue> {
    Topology::payrelay(&RetryDelays::default()).queues
}

fn parse_queue(text: &str) -> Result<ConsumerQueue, String> {
    let queues = queues();
    let found = queues.iter().find(|queue| text == queue.queue || text == queue.dead_letter_queue());
    found.cloned().ok_or_else(|| {
        let names: Vec<_> = queues.iter().map(|queue| queue.queue.as_str()).collect();
        format!("expected one of {}", names.join(", "))
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
        assert!(parse_queue("pay.retry.5s").is_err_and(|error| error.contains("merchant.pay.closed.queue")));
    }
}
