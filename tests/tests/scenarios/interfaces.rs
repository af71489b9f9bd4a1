//! What others read of payrelay is true, by the tools that they read it with: `AsyncAPI`, `OpenAPI`, alerts, metrics.
//!
//! The tools are installed into the target directory (`crates/devstack/src/testing/interpreters.rs`). Where one is not to be had, its
//! test says so and is skipped; with `CI=true` it fails.

mod alerts;
mod asyncapi;
mod metrics;
mod openapi;
mod pages;
mod table;

use std::path::PathBuf;
use std::process::Command;

use devstack::testing::interpreters::{self, Interpreter};

use crate::architecture::workspace::root;

/// A file of `tests/interfaces`.
fn file(name: &str) -> PathBuf {
    root().join("tests/interfaces").join(name)
}

/// Node with the parsers and linters.
fn node() -> Option<Interpreter> {
    interpreters::node(&file("package.json"))
}

/// Runs a command to its end: whether it ended well, and all that it wrote.
fn run(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

/// What redocly finds in a document: nothing, neither errors nor warnings.
fn assert_lints(document: &str) {
    let Some(node) = node() else { return };
    let mut redocly = node.program("redocly");
    redocly.args(["lint", "--format=json", "--extends=recommended", document]).current_dir(root());
    redocly.env("REDOCLY_TELEMETRY", "off").env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true");
    let (passed, printed) = run(&mut redocly);
    let clean = ["\"errors\": 0", "\"warnings\": 0", "\"ignored\": 0"];
    assert!(passed && clean.iter().all(|total| printed.contains(total)), "{printed}");
}
