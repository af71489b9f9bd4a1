//! The bench: how fast payrelay is, beside what its machine can bear and beside a textbook pipeline that does the same job.
//!
//! Everything runs on one machine and in one run: a durable PostgreSQL and RabbitMQ, the release programs with the defaults of
//! production as child processes, and this process, which is payment channel and merchants at once. Absolute figures move
//! with the machine; the ratios are what to judge by.
//!
//! | measured | where |
//! |---|---|
//! | PostgreSQL, RabbitMQ and HTTP alone, and the composite limit | `limits` |
//! | one transaction, one confirm, one acknowledgement at a time | `textbook` |
//! | acceptance, payments end to end, latencies at half load, costs | `payrelay`, `measure` |
//! | two versions in turns at the same rate: CPU and latency | `compare` |
//! | stored payments, backlogs, retries, replicas, a hanging merchant, a soak | `growth` |
//!
//! A payment is end to end when its callback was answered with success, its order is paid, and its merchant has answered
//! the verified webhook with a 2xx. The load is closed over the whole way: only so many payments are accepted and not yet
//! told. After every load the databases, the queues and the merchants' books must show every payment exactly once, or there is
//! an error instead of a figure.

mod book;
mod cli;
mod client;
mod compare;
mod figures;
mod growth;
mod limits;
mod load;
mod machine;
mod measure;
mod merchant;
mod output;
mod payments;
mod payrelay;
mod pipeline;
mod plan;
mod process;
mod procfs;
mod profile;
mod report;
mod seed;
mod stats;
mod subject;
mod textbook;

use std::process::ExitCode;

use clap::Parser;

/// Runs the command line of this process and returns its exit code.
pub fn run() -> ExitCode {
    let cli = cli::Cli::parse();
    service::tls::install();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::progress(format!("failed: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli::run(cli)) {
        Ok(code) => code,
        Err(error) => {
            output::progress(format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
