//! `cargo xtask`: from a fresh clone to running servers, a demo and tests, with one command each.
#![expect(clippy::print_stdout, reason = "a command line tool talks to its user")]

mod bench;
mod cargo;
mod chaos;
mod count;
mod docs;
mod generate;
mod matrix;
mod mutants;
mod page;
mod setup;
mod test;
mod tools;
mod tree;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Set-up, demo and tests of the workspace")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install PostgreSQL and RabbitMQ where they are missing
    Setup,
    /// Set up, then drive payments through the whole pipeline on private servers
    Demo {
        /// Passed on to `payrelay demo`, for example `--payments 500`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Set up, then let everything fail while payments go on, and check that nothing is lost or doubled
    Chaos {
        /// `--seconds N` (60), `--seed S` (by chance), `--json`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Set up, then measure how fast payrelay is, beside the limits of this machine or beside another revision
    Bench {
        /// `--quick`, `--json FILE`, `--only PART,…`, `--soak SECONDS`; or `--against REV`, and with it `--at-most RATIO`,
        /// `--pairs N`, `--seconds N`, `--rate N`, `--quick`, `--json FILE`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Set up, then run every test of the workspace against private servers
    Test {
        /// Passed on to `cargo test --workspace`, for example a part of a test's name
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run every test on the servers of other systems: Debian's stable, testing and unstable
    Matrix(matrix::Options),
    /// Make the code wrong at one place after the other, and say where no test fails
    Mutants(mutants::Options),
    /// Write anew what is generated from the code: pages of the book, the broker's definitions, the Rust of the events
    Generate,
    /// Look in the documents for long sentences, long lines and phrases that are hard to read
    Words(words::Options),
    /// Build the book, follow the links of all documents, and run the commands of the README and the book
    Docs(docs::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Setup => setup::run().map(|()| ExitCode::SUCCESS),
        Task::Demo { arguments } => demo(&arguments),
        Task::Chaos { arguments } => chaos::run(&arguments),
        Task::Bench { arguments } => bench::run(&arguments),
        Task::Test { arguments } => test::run(&arguments),
        Task::Matrix(options) => matrix::run(&options),
        Task::Mutants(options) => mutants::run(&options),
        Task::Generate => generate::run().map(|()| ExitCode::SUCCESS),
        Task::Words(options) => words::run(&options),
        Task::Docs(options) => docs::run(&options),
    };
    result.unwrap_or_else(|error| {
        step(&format!("failed: {error:#}"));
        ExitCode::FAILURE
    })
}

fn demo(arguments: &[String]) -> anyhow::Result<ExitCode> {
    setup::run()?;
    step("building payrelay");
    cargo::run(&["build", "--package", "operator", "--bin", "payrelay"])?;
    step("starting the demo");
    cargo::become_program("payrelay", "demo", arguments)
}

/// One line of progress.
fn step(text: &str) {
    println!("xtask: {text}");
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Cli, Task};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_after_a_task_are_passed_on() {
        let cli = Cli::parse_from(["cargo xtask", "demo", "--payments", "500"]);
        assert!(matches!(cli.task, Task::Demo { arguments } if arguments == ["--payments", "500"]));
        let cli = Cli::parse_from(["cargo xtask", "test", "--package", "events", "--", "--nocapture"]);
        assert!(
            matches!(cli.task, Task::Test { arguments } if arguments == ["--package", "events", "--", "--nocapture"])
        );
    }
}
