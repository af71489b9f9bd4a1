//! What the bench prints: results on standard output, progress beside them on standard error.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::time::Instant;

use anyhow::Context;

/// Prints a line on standard output.
pub(crate) fn line(text: impl AsRef<str>) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{}", text.as_ref()).context("standard output is closed")
}

/// Prints a line with the seconds since the first one on standard error.
pub(crate) fn progress(text: impl AsRef<str>) {
    static STARTED: OnceLock<Instant> = OnceLock::new();
    let seconds = STARTED.get_or_init(Instant::now).elapsed().as_secs();
    // Progress that nobody can read any more is no reason to stop.
    let _ = writeln!(io::stderr(), "[{seconds:4} s] {}", text.as_ref());
}
