//! The command `payrelay`: the pipeline on a developer's machine, the demo that proves it, and what an operator asks of
//! running services.
//!
//! * `cli` says what there is; every command is one file.
//! * `dev` and `demo` run all services in this process ([`pipeline`](crate), the same code as the services' own binaries)
//!   on the private servers of `devstack`.
//! * `dlq`, `topology` and `doctor` speak to the broker, through `messaging`. All else goes through the admin HTTP of the services: this
//!   crate holds no statement and no queue name.

mod admin;
mod arguments;
mod cli;
mod commands;
mod demo;
mod dev;
mod failure;
mod output;
mod pipeline;
#[cfg(test)]
mod reference;
mod usage;

use std::process::ExitCode;

use clap::Parser;

/// Runs the command line of this process and returns its exit code.
pub fn run() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::explain(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::progress(format!("payrelay: cannot start its threads: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli::dispatch(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::progress(format!("payrelay: {failure}"));
            failure.exit_code()
        }
    }
}
