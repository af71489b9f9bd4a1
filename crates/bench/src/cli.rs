//! The command line, and the order in which things are measured.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::compare::{self, CompareOptions};
use crate::figures::Figures;
use crate::growth::{self, soak};
use crate::machine::{Machine, setting};
use crate::output::progress;
use crate::plan::{Part, Plan};
use crate::report::Report;
use crate::textbook::{self, TextbookOptions};
use crate::{limits, payrelay};

/// Measures payrelay beside the limits of this machine and a textbook baseline: one PostgreSQL and one RabbitMQ, durable, all
/// on the same cores, in one run.
#[derive(Debug, Parser)]
#[command(name = "bench", max_term_width = 110, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    /// Write everything that was measured to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// About two minutes: one short round of limits, textbook and payrelay.
    #[arg(long)]
    quick: bool,
    /// Measure only these parts.
    #[arg(long, value_delimiter = ',', value_name = "PART,…")]
    only: Vec<Part>,
    /// Rounds of limits, textbook and payrelay, one after the other, and of replicas; the medians count.
    #[arg(long)]
    rounds: Option<usize>,
    /// Print what each statement costs under payrelay's load; needs `pg_stat_statements`, and costs a little itself.
    #[arg(long)]
    profile: bool,
    /// A setting for the services, which have else the defaults of production; may be given more than once.
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    /// Instead of all else: a moderate load for so long.
    #[arg(long, value_name = "SECONDS")]
    soak: Option<u64>,
    /// Payments per second of the soak.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    soak_rate: u32,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compares two versions of the services, in turns at the same rate; `cargo xtask bench --against REV` builds both.
    Compare(CompareOptions),
    /// The textbook baseline as a program of its own.
    #[command(hide = true)]
    Textbook(TextbookOptions),
}

/// Runs what the command line asks for.
pub(crate) async fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Some(Command::Compare(options)) => return compare::run(options).await,
        Some(Command::Textbook(options)) => {
            textbook::run(options).await?;
            return Ok(ExitCode::SUCCESS);
        }
        None => {}
    }
    progress("starting PostgreSQL and RabbitMQ");
    let machine = Machine::start(cli.profile, cli.set.clone()).await?;
    let mut report = Report::new(cli.set.clone());
    let measured = measure(&machine, &cli, &mut report).await;
    // What was measured until something went wrong is still worth to be seen.
    report.print()?;
    if let Some(file) = &cli.json {
        report.write(file)?;
    }
    measured?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(machine: &Machine, cli: &Cli, report: &mut Report) -> Result<()> {
    if let Some(seconds) = cli.soak {
        let duration = Duration::from_secs(seconds);
        report.growth(soak::measure(machine, duration, f64::from(cli.soak_rate)).await?);
        return Ok(());
    }
    let usual = if cli.quick { Plan::QUICK } else { Plan::FULL };
    let plan = Plan { rounds: cli.rounds.unwrap_or(usual.rounds).max(1), ..usual };
    let wanted = |part: Part| {
        if cli.only.is_empty() { !cli.quick || Part::ROUND.contains(&part) } else { cli.only.contains(&part) }
    };
    if Part::ROUND.into_iter().any(wanted) {
        for round in 1..=plan.rounds {
            progress(format!("round {round} of {}", plan.rounds));
            let mut figures = Figures::default();
            for part in Part::ROUND.into_iter().filter(|part| wanted(*part)) {
                figures.extend(match part {
                    Part::Limits => limits::round(machine, plan.limit).await?,
                    Part::Textbook => textbook::round(machine, &plan).await?,
                    _ => payrelay::round(machine, &plan).await?,
                });
            }
            report.round(figures);
        }
    }
    for part in Part::GROWTH.into_iter().filter(|part| wanted(*part)) {
        report.growth(growth::measure(machine, part, &plan).await?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn parts_are_named_as_they_are_told() {
        let cli =
            Cli::parse_from(["bench", "--only", "growth-stored,backlog,fair-share", "--json", "x.json"]);
        assert_eq!(cli.only, [Part::GrowthStored, Part::Backlog, Part::FairShare]);
    }
}
