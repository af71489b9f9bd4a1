//! `chaos`: payments through the whole pipeline while, by a schedule that follows from a seed, processes are killed and frozen,
//! servers crash, links fail and merchants misbehave. In the end a checker says what was lost, doubled or unexpected.
//!
//! [`plan`] makes the schedule and [`faults`] carries it out on the [`world`]; [`load`] pays meanwhile and keeps the
//! [`history`]; [`drain`] waits, [`evidence`] looks, [`checker`] compares the two, [`report`] tells.

mod caller;
mod checker;
mod dead_rows;
mod drain;
mod evidence;
mod faults;
mod history;
mod load;
mod order_of_versions;
mod plan;
mod progress;
mod report;
mod upstream;
mod world;

use std::collections::BTreeSet;
use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use futures_util::FutureExt;
use tokio::time::{Instant, sleep_until};

use checker::Finding;
use faults::Faults;
use load::Load;
use progress::Progress;
use report::Report;
use world::World;

/// Orders whose trace is printed at most.
const MOST_TRACES: usize = 20;

/// Payments under faults, and what became of them
#[derive(Debug, Parser)]
#[command(name = "chaos")]
struct Cli {
    /// How long faults go on
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=86_400))]
    seconds: u64,
    /// Repeats the schedule of an earlier run; by chance if left out
    #[arg(long)]
    seed: Option<u64>,
    /// Print the report as JSON, and progress to standard error
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let seed = cli.seed.unwrap_or_else(rand::random);
    let progress = Progress::new(cli.json);
    progress.say(&format!(
        "seed {seed}; the same again: cargo xtask chaos --seconds {} --seed {seed}",
        cli.seconds
    ));
    match supervised(&cli, seed, progress) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            progress.say(&format!("failed with seed {seed}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// What the harness panics about ends as a failure like any other. The logs of a run that
/// is not good are kept.
fn supervised(cli: &Cli, seed: u64, progress: Progress) -> Result<bool> {
    let folder = tempfile::Builder::new().prefix("payrelay-chaos-").tempdir().context("a folder for logs")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(8).enable_all().build()?;
    let length = Duration::from_secs(cli.seconds);
    let whole = AssertUnwindSafe(run(folder.path(), seed, length, cli.json, progress));
    let ended = runtime.block_on(whole.catch_unwind()).unwrap_or_else(|panic| {
        let text = panic.downcast::<String>().map_or_else(|_| "a panic".to_owned(), |text| *text);
        Err(anyhow!(text))
    });
    if matches!(ended, Ok(true)) {
        return ended;
    }
    let kept = folder.keep();
    ended.with_context(|| format!("the logs are kept in {}", kept.display()))
}

async fn run(folder: &Path, seed: u64, length: Duration, json: bool, progress: Progress) -> Result<bool> {
    progress.say("starting PostgreSQL, RabbitMQ, two replicas of each service and the merchants");
    let world = Arc::new(World::start(folder).await);
    let dead_rows = dead_rows::DeadRows::sample(world.servers.database_url());
    let faults = Faults::new(Arc::clone(&world), progress);
    let supervision = tokio::spawn(Arc::clone(&faults).supervise());
    progress.say("payments begin");
    let (load, end) = (Load::start(&world, seed), Instant::now() + length);
    let inflicted = faults.run(&plan::schedule(seed, length)).await;
    sleep_until(end).await;
    progress.say(&format!("all is healed after {} orders; the last callers come to their end", load.count()));
    let history = load.finish().await?;
    let judged = async {
        inflicted?;
        let undrained = drain::wait(&world, &history, progress).await;
        progress.say("looking at every order");
        let evidence = evidence::collect(&world, &history).await?;
        let verdict = checker::check(&history, &evidence);
        let incidents = faults.incidents();
        let order = order_of_versions::judge(&world, &verdict.overtakings, &incidents.faults).await?;
        let reordered = order.reordered.iter().map(|overtaking| Finding {
            order_no: overtaking.order_no.clone(),
            what: format!("{overtaking:?}"),
        });
        let report = Report {
            seed,
            seconds: length.as_secs(),
            orders: history.payments.len(),
            webhooks: evidence.orders.values().map(|seen| seen.webhooks.len()).sum(),
            reordered: reordered.collect(),
            overtaken: [order.overtaken, order.undecided],
            verdict,
            incidents,
            dead_rows: dead_rows.most(),
            undrained,
        };
        anyhow::Ok(report)
    };
    let report = judged.await;
    supervision.abort();
    if !report.as_ref().is_ok_and(Report::is_good) {
        keep_server_logs(&world, folder);
    }
    let report = report?;
    if !report.is_good() {
        traces(&world, &report, &history, progress).await;
        progress.say(&format!("the logs are kept in {}", folder.display()));
    }
    report.print(json)?;
    Ok(report.is_good())
}

/// Every offending order: what its callers did, and what the services know of it.
async fn traces(world: &World, report: &Report, history: &history::History, progress: Progress) {
    let orders: BTreeSet<_> =
        report.findings().flat_map(|(_, findings)| findings).map(|finding| &finding.order_no).collect();
    for order_no in orders.iter().take(MOST_TRACES) {
        if let Some(payment) = history.payments.iter().find(|payment| payment.order_no == **order_no) {
            progress.say(&format!("{payment:?}"));
        }
        let trace = world.payrelay(&["trace", order_no]).await;
        progress.say(&format!("payrelay trace {order_no}\n{}{}", trace.stdout, trace.stderr));
    }
    if orders.len() > MOST_TRACES {
        progress.say(&format!("and {} more orders", orders.len() - MOST_TRACES));
    }
}

/// The servers' own files go with them.
fn keep_server_logs(world: &World, folder: &Path) {
    for log in ["postgres.log", "rabbitmq.log"] {
        // Without it there is less to read, and nothing else is lost.
        let _ = fs::copy(world.servers.stack().directory().join(log), folder.join(log));
    }
}
