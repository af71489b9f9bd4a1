//! `cargo xtask generate`: writes anew what is checked in and comes from the code.
//!
//! The tests that hold the files to the code write them.

use anyhow::{Context, Result, ensure};

use crate::{cargo, step};

/// Tells these tests to write instead of compare.
const WRITE_VARIABLE: &str = "PAYRELAY_TEST_WRITE_GENERATED";

/// What is generated, and `cargo test` of the test that does it.
const GENERATED: [(&str, &[&str]); 3] = [
    (
        "docs/cli.md, docs/configuration.md and docs/metrics.md",
        &["--package", "operator", "--lib", "reference::"],
    ),
    (
        "deploy/rabbitmq/definitions.json",
        &["--package", "messaging", "--test", "broker", "the_definitions_of_the_deployment_are_current"],
    ),
    (
        "crates/events/src/codec/generated",
        &["--package", "scenarios", "--test", "scenarios", "the_generated_code_is_current"],
    ),
];

/// Writes all of it.
pub(crate) fn run() -> Result<()> {
    for (what, test) in GENERATED {
        step(&format!("writing {what}"));
        let mut command = cargo::command();
        command.args(["test", "--quiet"]).args(test).env(WRITE_VARIABLE, "1");
        let status = command.status().context("cargo cannot be run")?;
        ensure!(status.success(), "writing {what} ({status})");
    }
    Ok(())
}
