//! Two versions of the services compared on this machine: in turns, each on a fresh database and a fresh vhost, all at the same
//! rate. The load, the merchants and the servers are the same for both, so only the services differ.
//!
//! Absolute figures of one machine drift by more than a change of the code makes. Two turns that follow each other drift alike,
//! so each pair of them gives one quotient, and only the quotients are judged.

mod comparison;
mod options;
mod ratio;
mod turn;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use self::comparison::{Comparison, Pair};
pub(crate) use self::options::CompareOptions;
use self::options::Version;
use self::turn::{Outcome, Turn, whole};
use crate::figures::Figures;
use crate::machine::Machine;
use crate::measure;
use crate::output::{line, progress};
use crate::plan::{MOST_END_TO_END_PER_S, Span, count};
use crate::process::Programs;

/// The part of what the old version carries at which both are compared: far from saturation, also where the machine has less
/// to give for a while.
const SHARE_OF_CAPACITY: f64 = 0.4;
/// How long the old version is loaded to find that out.
const CALIBRATION: Span = Span { warm: Duration::from_secs(2), measured: Duration::from_secs(8) };
/// How often a turn that could not keep its rate is made at all.
const MOST_TRIES: u32 = 5;

/// The order within a pair, numbered from 0: old, new, new, old, and again, so that a steady drift favours neither.
const fn order(pair: u32) -> [Version; 2] {
    if pair.is_multiple_of(2) { [Version::Old, Version::New] } else { [Version::New, Version::Old] }
}

/// Compares; the exit code is a failure where the new version is certainly worse than allowed.
pub(crate) async fn run(options: CompareOptions) -> Result<ExitCode> {
    progress("starting PostgreSQL and RabbitMQ");
    let machine = Machine::start(false, options.set.clone()).await?;
    let per_second = match options.rate {
        Some(rate) => f64::from(rate),
        None => calibrate(&machine, &options.programs(Version::Old)).await.context("calibration")?,
    };
    let mut pairs = Vec::new();
    for pair in 0..options.pairs() {
        pairs.push(measure_pair(&machine, &options, per_second, pair).await?);
    }
    let conditions = conditions(&options, per_second);
    let comparison = Comparison { against: options.against, at_most: options.at_most, conditions, pairs };
    line(comparison.table()?)?;
    if let Some(file) = &options.json {
        comparison.write(file, &options.set)?;
    }
    line(comparison.verdict()?)?;
    Ok(if comparison.above()?.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn conditions(options: &CompareOptions, per_second: f64) -> Figures {
    let span = options.span();
    let mut conditions = Figures::default();
    conditions.set("rate_per_s", per_second);
    conditions.set("warm_up_s", span.warm.as_secs_f64());
    conditions.set("measured_s", span.measured.as_secs_f64());
    conditions
}

/// The rate of all turns, from what this version carries here.
async fn calibrate(machine: &Machine, programs: &Programs) -> Result<f64> {
    progress("calibrating: the old version at full load");
    let payments = count(MOST_END_TO_END_PER_S, CALIBRATION.warm + CALIBRATION.measured);
    let pipeline = whole(machine, programs, payments).await?;
    let sustained = measure::sustained(&pipeline.subject, 0..payments, CALIBRATION).await?;
    pipeline.verify(machine).await?;
    pipeline.stop(machine).await?;
    let rate = (sustained.per_second * SHARE_OF_CAPACITY).floor().max(1.0);
    progress(format!("it carries {:.0} payments a second; all turns are at {rate:.0}", sustained.per_second));
    Ok(rate)
}

/// Measures both versions, one right after the other.
async fn measure_pair(
    machine: &Machine,
    options: &CompareOptions,
    per_second: f64,
    pair: u32,
) -> Result<Pair> {
    let mut turns = Vec::new();
    for version in order(pair) {
        let name = match version {
            Version::Old => format!("old ({})", options.against),
            Version::New => "new".to_owned(),
        };
        let what = format!("pair {} of {}: {name}", pair + 1, options.pairs());
        let turn = Turn { machine, programs: options.programs(version), per_second, span: options.span() };
        let figures = kept(&what, async || turn.measure().await).await.context(what)?;
        turns.push((version, figures));
    }
    let of = |wanted: Version| {
        let found = turns.iter().find(|(version, _)| *version == wanted);
        found.map(|(_, figures)| figures.clone()).context("a pair has a turn of each version")
    };
    Ok(Pair { old: of(Version::Old)?, new: of(Version::New)? })
}

/// Makes turns until one keeps its rate, and tells what it showed.
async fn kept(what: &str, mut measure: impl AsyncFnMut() -> Result<Outcome>) -> Result<Figures> {
    for attempt in 1..=MOST_TRIES {
        match measure().await? {
            Outcome::Kept(figures) => {
                progress(format!("{what}: {}", turn::summary(&figures)));
                return Ok(figures);
            }
            Outcome::NotKept(share) => {
                progress(format!("{what}: try {attempt} ran at {share:.2} of its rate and does not count"));
            }
        }
    }
    bail!(
        "the rate was not kept in {MOST_TRIES} tries; wait until the machine is idle, or give a lower --rate"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_old_new_new_old() {
        use Version::{New, Old};
        let turns: Vec<_> = (0..4).flat_map(order).collect();
        assert_eq!(turns, [Old, New, New, Old, Old, New, New, Old]);
    }

    #[tokio::test]
    async fn a_turn_that_does_not_keep_its_rate_is_repeated_so_often_and_no_more() {
        let tries = async |failures: u32| {
            let mut made = 0;
            let kept = kept("a turn", async || {
                made += 1;
                let is_good = made > failures;
                Ok(if is_good { Outcome::Kept(Figures::default()) } else { Outcome::NotKept(0.5) })
            })
            .await;
            (kept.is_ok(), made)
        };
        assert_eq!(tries(0).await, (true, 1));
        assert_eq!(tries(MOST_TRIES - 1).await, (true, MOST_TRIES));
        assert_eq!(tries(MOST_TRIES).await, (false, MOST_TRIES));
    }

    #[tokio::test]
    async fn a_turn_that_lost_something_is_not_repeated() {
        let mut made = 0;
        let lost = kept("a turn", async || {
            made += 1;
            bail!("payment 7 was accepted 1 times and told 0 times")
        });
        assert!(lost.await.is_err());
        assert_eq!(made, 1);
    }
}
