//! What commands print: lines and tables for people, JSON for machines, progress beside them on standard error.

use std::io::{self, Write};

use anyhow::Context;
use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::Value;

/// Prints a line on standard output.
pub(crate) fn line(text: impl AsRef<str>) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{}", text.as_ref()).context("standard output is closed")
}

/// Prints a line on standard error, so that standard output holds results only.
pub(crate) fn progress(text: impl AsRef<str>) {
    // Progress that nobody can read any more is no reason to stop.
    let _ = writeln!(io::stderr(), "{}", text.as_ref());
}

/// Prints a value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string(value)?)
}

/// Prints a table.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table.add_rows(rows);
    line(table.trim_fmt())
}

/// A value of JSON as it stands in a table.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
