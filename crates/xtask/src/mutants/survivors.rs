//! The mutants that no test can catch, each with a reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

const FILE: &str = "tests/mutants/survivors.txt";

/// How many mutants of each key may survive. A key is `file: mutation`, without the line, so that it outlives other changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Survivors(pub(super) BTreeMap<String, usize>);

impl Survivors {
    pub(super) fn read(root: &Path) -> Result<Self> {
        let text = fs::read_to_string(root.join(FILE)).with_context(|| format!("reading {FILE}"))?;
        Self::parse(&text).with_context(|| FILE.to_owned())
    }

    /// Each key stands on a line of its own, once for each mutant of it; indented lines below it say why it may survive. Lines
    /// that begin with `#` are comments.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut survivors = BTreeMap::new();
        let mut without_reason = None;
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            if line.starts_with(char::is_whitespace) {
                ensure!(!survivors.is_empty(), "a reason without a mutant: {}", line.trim());
                without_reason = None;
                continue;
            }
            if let Some(earlier) = without_reason {
                bail!("no reason is given for {earlier}");
            }
            ensure!(line.contains(": "), "expected `file: mutation`: {line}");
            *survivors.entry(line.to_owned()).or_default() += 1;
            without_reason = Some(line);
        }
        ensure!(without_reason.is_none(), "no reason is given for {}", without_reason.unwrap_or_default());
        Ok(Self(survivors))
    }
}
