//! `payrelay dlq replay`

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use messaging::{DeadLetters, MAX_REMOVED, PublishOutcome, Publisher, ReplayError};
use serde::Serialize;
use service::Shutdown;
use tokio::time::{Instant, sleep_until};

use super::{Selection, broker, open};
use crate::{
    failure::{CommandResult, Failure},
    output,
};

/// For what is under way when it is interrupted.
const GRACE: Duration = Duration::from_secs(20);

/// Messages a second.
const MAX_RATE: u32 = 10_000;

/// What to replay.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    selection: Selection,
    /// How many to replay at most; all if left out.
    #[arg(long)]
    limit: Option<usize>,
    /// How many a second, 1 to 10000.
    #[arg(long, value_name = "N/s", default_value = "100/s", value_parser = parse_rate)]
    rate: u32,
}

fn parse_rate(text: &str) -> Result<u32, String> {
    let rate = text.strip_suffix("/s").unwrap_or(text).parse().ok();
    rate.filter(|rate| (1..=MAX_RATE).contains(rate)).ok_or_else(|| format!("expected 1/s to {MAX_RATE}/s"))
}

/// What became of it.
#[derive(Debug, Default, Serialize)]
struct Counts {
    replayed: usize,
    failed: usize,
    /// Of those that were there at the start.
    left: usize,
}

/// Replays what matches, and prints how many.
pub(super) async fn run(options: &Replay, json: bool) -> CommandResult {
    let broker = broker::from_env("dlq replay")?;
    let mut letters = open(&broker, &options.selection.queue).await?;
    let interrupt = Shutdown::on_signals(Duration::ZERO, GRACE).context("cannot wait for signals")?;
    let publisher = Publisher::spawn(broker, interrupt.hard.clone());
    let mut counts = Counts { left: letters.depth() as usize, ..Counts::default() };
    let replayed = replay(&mut letters, &publisher, options, &interrupt, &mut counts).await;
    publisher.close().await;
    let closed = letters.close().await.map_err(broker::failure);
    if json {
        output::json(&counts)?;
    } else {
        let Counts { replayed, failed, left } = &counts;
        let queue = &options.selection.queue.queue;
        output::line(format!("{queue}: {replayed} replayed, {failed} failed, {left} left"))?;
    }
    replayed.and(closed)
}

async fn replay(
    letters: &mut DeadLetters,
    publisher: &Publisher,
    options: &Replay,
    interrupt: &Shutdown,
    counts: &mut Counts,
) -> CommandResult {
    let mut due = Instant::now();
    let limit = options.limit.unwrap_or(usize::MAX);
    let batch_size = MAX_REMOVED.min(options.rate as usize);
    while counts.replayed < limit {
        let wanted = batch_size.min(limit - counts.replayed);
        let gathering = letters.gather(wanted, |letter| options.selection.matches(letter));
        let Some(batch) = interrupt.soft.run_until_cancelled(gathering).await else {
            return Err(interrupted());
        };
        let batch = batch.map_err(broker::failure)?;
        if batch.is_empty() {
            return Ok(());
        }
        let outcomes = letters.replay(publisher, &batch).await.map_err(not_replayed)?;
        count(&outcomes, counts)?;
        let Counts { replayed, left, .. } = counts;
        output::progress(format!("{replayed} replayed, {left} left"));
        let sent = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        due += Duration::from_secs(1) * sent / options.rate;
        if interrupt.soft.run_until_cancelled(sleep_until(due)).await.is_none() {
            return Err(interrupted());
        }
    }
    Ok(())
}

/// Counts a batch. Where the queue does not take a message it will not take the next one either.
fn count(outcomes: &[PublishOutcome], counts: &mut Counts) -> CommandResult {
    let confirmed = outcomes.iter().filter(|outcome| **outcome == PublishOutcome::Confirmed).count();
    counts.replayed += confirmed;
    counts.failed += outcomes.len() - confirmed;
    counts.left = counts.left.saturating_sub(confirmed);
    match outcomes.iter().find(|outcome| **outcome != PublishOutcome::Confirmed) {
        None => Ok(()),
        Some(PublishOutcome::Returned { .. }) => Err(Failure::Findings(
            "the queue is missing, so the messages stay: payrelay topology apply".to_owned(),
        )),
        Some(_) => Err(Failure::Findings(
            "the queue is full and refuses messages, so they stay; let its consumers catch up".to_owned(),
        )),
    }
}

fn interrupted() -> Failure {
    Failure::Findings("interrupted; nothing is lost, run it again to go on".to_owned())
}

fn not_replayed(error: ReplayError) -> Failure {
    match error {
        ReplayError::Broker(error) => broker::failure(error),
        ReplayError::Publish(error) => {
            Failure::Unreachable(format!("{error}; nothing is lost, run it again to go on"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_a_second() {
        assert_eq!([parse_rate("1/s"), parse_rate("10000")], [Ok(1), Ok(10_000)]);
        for text in ["0", "10001/s", "-1", "5/m", ""] {
            assert!(parse_rate(text).is_err(), "{text:?}");
        }
    }
}
