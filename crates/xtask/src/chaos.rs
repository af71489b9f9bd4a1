//! `cargo xtask chaos`: the program `chaos` of the package `scenarios`, with everything that it runs.

use std::process::ExitCode;

use anyhow::{Context, Result};
use devstack::testing::PROGRAMS_VARIABLE;

use crate::{cargo, setup, step};

/// Sets up, builds all programs, and runs `chaos` with `arguments`. The result is its exit code.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    setup::run()?;
    step("building the programs");
    cargo::run(&["build", "--workspace", "--bins"])?;
    let programs = cargo::programs()?;
    let mut chaos = std::process::Command::new(programs.join("chaos"));
    let status =
        chaos.args(arguments).env(PROGRAMS_VARIABLE, programs).status().context("chaos cannot be run")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
