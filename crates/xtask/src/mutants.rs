//! `cargo xtask mutants`: makes the code wrong at one place after the other, and says where no test fails.
//!
//! Mutants of pure code are made by cargo-mutants ([`generated`]), those of SQL and of what it cannot make stand in a list
//! ([`listed`]). All of them are built in a copy of the workspace, into a target folder of its own that is kept between runs.

mod account;
mod generated;
mod listed;
mod shard;
mod survivors;
mod workshop;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use devstack::{Stack, StackOptions};
use serde_json::json;

use crate::{cargo, test};
use account::Account;
use shard::Shard;
use survivors::Survivors;
use workshop::Workshop;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only this part of all mutants, from `1/N` to `N/N`
    #[arg(long, value_name = "K/N", default_value = "1/1")]
    shard: Shard,
    /// Only the mutants of a crate, or those of the list (`listed`); may be repeated
    #[arg(long, value_name = "PART", value_parser = parts())]
    only: Vec<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What `--only` can name.
fn parts() -> Vec<&'static str> {
    generated::UNITS.iter().map(|unit| unit.package).chain([listed::PART]).collect()
}

/// Tests the mutants of the shard. Fails if one survives that is not in the list of survivors.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let started = Instant::now();
    let root = cargo::workspace()?;
    let survivors = Survivors::read(&root)?;
    let list = listed::read(&root)?;
    let wanted = |part: &str| options.only.is_empty() || options.only.iter().any(|only| only == part);

    progress("starting PostgreSQL and RabbitMQ for the tests");
    let stack = Stack::start(&StackOptions { durable: false, ..StackOptions::default() })?;
    let workshop = Workshop::open(&root, test::environment(&stack))?;
    let mut account = Account::default();
    for unit in generated::UNITS.iter().filter(|unit| wanted(unit.package)) {
        generated::run(unit, &workshop, options.shard, &mut account)?;
    }
    if wanted(listed::PART) {
        listed::run(&list, &workshop, options.shard, &mut account)?;
    }
    progress("stopping the servers");
    drop(stack);

    let report = account.close(&survivors, options.only.is_empty());
    let text = if options.json {
        report_json(&report, options.shard, started.elapsed())
    } else {
        report_text(&report, options.shard)
    };
    writeln!(io::stdout(), "{text}").context("writing the result")?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report_text(report: &account::Report, shard: Shard) -> String {
    let stale = report.stale.iter().map(|key| format!("stale, caught or gone by now: {key}\n"));
    let new = report.new.iter().map(|key| format!("new survivor: {key}\n"));
    let lines: String = stale.chain(new).collect();
    let part = if shard.is_all() { String::new() } else { format!(" {shard}") };
    format!(
        "{lines}mutants{part}: {} tested, {} caught, {} unviable, {} known survivors, {} new survivors",
        report.tested(),
        report.caught,
        report.unviable,
        report.known,
        report.new.len()
    )
}

fn report_json(report: &account::Report, shard: Shard, elapsed: Duration) -> String {
    json!({
        "good": report.is_good(), "shard": shard.to_string(), "tested": report.tested(), "caught": report.caught,
        "unviable": report.unviable, "known_survivors": report.known, "new_survivors": report.new, "stale": report.stale,
        "seconds": elapsed.as_secs(),
    })
    .to_string()
}

/// A line of progress: on the standard error output, beside the result.
fn progress(text: &str) {
    // Where nobody listens, the tests go on.
    let _ = writeln!(io::stderr(), "mutants: {text}");
}

#[cfg(test)]
mod tests;
