//! `cargo xtask matrix`: every test of the workspace on the servers of other systems.

mod roots;

use std::env;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use devstack::installed::ROOT_VARIABLE;
use serde_json::json;

use roots::{Servers, System};

use crate::count::{Counts, counted};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only the servers of this release of Debian; may be repeated
    #[arg(long, value_enum)]
    only: Vec<System>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Passed on to `cargo test --workspace`, for example a part of a test's name
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// The tests on one system's servers.
struct Row {
    servers: Servers,
    counts: Counts,
    /// Cargo did not come to its end, so not all tests are counted.
    broke_off: bool,
    elapsed: Duration,
    log: PathBuf,
}

impl Row {
    /// A run that broke off has failed, also where no test says so.
    fn failed(&self) -> u64 {
        self.counts.failed.max(u64::from(self.broke_off))
    }
}

/// Runs the tests on each system's servers, one after the other. Fails if a test does.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    roots::require()?;
    // Read once: building for the tests replaces this program's file, and then its path cannot be read.
    let xtask = env::current_exe().context("this program's own path is unknown")?;
    let folder = roots::folder()?;
    let systems = System::value_variants().iter().copied();
    let systems = systems.filter(|system| options.only.is_empty() || options.only.contains(system));
    // All of them first, so that one that cannot be made is known before an hour of tests.
    let servers = systems.map(|system| roots::servers(system, &folder)).collect::<Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    for servers in servers {
        let row = test(&xtask, servers, &folder, &options.arguments)?;
        if !options.json {
            say(&row_text(&row))?;
        }
        rows.push(row);
    }
    say(&if options.json { summary_json(&rows) } else { summary_text(&rows) })?;
    Ok(if is_good(&rows) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One run of `cargo xtask test`, which takes its servers from the root that the environment names.
fn test(xtask: &Path, servers: Servers, folder: &Path, arguments: &[String]) -> Result<Row> {
    let name = servers.system.name();
    let log = folder.join(format!("{name}.tests.log"));
    progress(&format!("debian {name}: building, then testing; all output goes to {}", log.display()));
    let started = Instant::now();
    let mut file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
    let mut command = Command::new(xtask);
    // Without `--no-fail-fast`, cargo ends at the first test program that fails.
    command.args(["test", "--no-fail-fast"]).args(arguments).env(ROOT_VARIABLE, &servers.root);
    let (counts, status) = counted(command, |line, ended, counts| {
        writeln!(file, "{line}").with_context(|| format!("writing {}", log.display()))?;
        if ended {
            progress(&format!("debian {name}: {} tests, {} failed", counts.tests, counts.failed));
        } else if is_of_interest(line) {
            progress(&format!("debian {name}: {line}"));
        }
        Ok(())
    })?;
    let broke_off = !status.success() && counts.failed == 0;
    Ok(Row { servers, counts, broke_off, elapsed: started.elapsed(), log })
}

fn is_of_interest(line: &str) -> bool {
    let failed = line.starts_with("test ") && line.ends_with("FAILED");
    failed || line.starts_with("error") || line.starts_with("xtask: ") || line.contains("SKIPPED ")
}

fn row_text(row: &Row) -> String {
    let Row { servers, counts, .. } = row;
    let hint = if row.broke_off {
        format!(" (broke off: {})", row.log.display())
    } else if counts.failed > 0 {
        format!(" ({})", row.log.display())
    } else {
        String::new()
    };
    format!(
        "debian {}: PostgreSQL {}, RabbitMQ {}: {} tests, {} failed, {} skipped, {} s{hint}",
        servers.system.name(),
        servers.postgres,
        servers.rabbitmq,
        counts.tests,
        row.failed(),
        counts.skipped,
        row.elapsed.as_secs()
    )
}

fn summary_text(rows: &[Row]) -> String {
    let (least, most) = tests(rows);
    let tests =
        if least == most { format!("{least} tests each") } else { format!("{least} to {most} tests") };
    let failed: u64 = rows.iter().map(Row::failed).sum();
    let skipped: u64 = rows.iter().map(|row| row.counts.skipped).sum();
    format!("matrix: {} servers, {tests}, {failed} failed, {skipped} skipped", rows.len())
}

fn summary_json(rows: &[Row]) -> String {
    let servers: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "name": format!("debian {}", row.servers.system.name()), "postgres": row.servers.postgres,
                "rabbitmq": row.servers.rabbitmq, "tests": row.counts.tests, "failed": row.failed(),
                "skipped": row.counts.skipped, "broke_off": row.broke_off, "seconds": row.elapsed.as_secs(), "log": row.log,
            })
        })
        .collect();
    json!({ "good": is_good(rows), "servers": servers }).to_string()
}

/// The smallest and the largest number of tests of a row.
fn tests(rows: &[Row]) -> (u64, u64) {
    let tests = || rows.iter().map(|row| row.counts.tests);
    (tests().min().unwrap_or(0), tests().max().unwrap_or(0))
}

/// Whether every row ran the same tests, at least one, and none failed.
fn is_good(rows: &[Row]) -> bool {
    let (least, most) = tests(rows);
    least > 0 && least == most && rows.iter().all(|row| row.failed() == 0)
}

/// A line of the result.
fn say(text: &str) -> Result<()> {
    writeln!(io::stdout(), "{text}").context("writing the result")
}

/// A line of progress: on the standard error output, beside the result.
fn progress(text: &str) {
    // Where nobody listens, the tests go on.
    let _ = writeln!(io::stderr(), "matrix: {text}");
}

#[cfg(test)]
mod tests;
