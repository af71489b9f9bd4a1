//! `cargo xtask bench`: the program `bench` and everything that it measures, as released.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{cargo, setup, step};

/// Sets up, builds the released programs, and becomes `bench` with `arguments`.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    setup::run()?;
    step("building the programs for release");
    let packages = ["ingress", "order-service", "merchant-notifier", "operator", "bench"];
    let build = packages.into_iter().fold(vec!["build", "--release"], |mut build, package| {
        build.extend(["--package", package]);
        build
    });
    cargo::run(&build)?;
    let folder = cargo::programs()?;
    let release = folder.parent().context("the folder of the programs has no parent")?.join("release");
    step("starting the bench");
    cargo::become_in(&release, "bench", arguments)
}
