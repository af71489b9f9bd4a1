//! The book: built by mdbook, with every page in its summary.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::{BOOK, progress};
use crate::page::Page;
use crate::tools::Tool;
use crate::words::Finding;

const MDBOOK: Tool = Tool {
    name: "mdbook",
    version: "0.5.4",
    // Without its server.
    options: &["--no-default-features", "--features", "search"],
};
const SUMMARY: &str = "SUMMARY.md";

/// Builds the book, and says what is wrong with it.
pub(super) fn check(root: &Path, pages: &[Page]) -> Result<Vec<Finding>> {
    let mut findings = missing_in_summary(pages);
    let program = MDBOOK.install(progress)?;
    progress("building the book");
    // Its standard output is progress to us.
    let output = io::stderr().as_fd().try_clone_to_owned().context("the standard error output")?;
    let book = root.join(BOOK);
    let status = Command::new(&program).arg("build").arg(&book).stdout(Stdio::from(output)).status();
    let status = status.with_context(|| format!("{} cannot be run", program.display()))?;
    if !status.success() {
        let what = format!("mdbook cannot build the book ({status}); what it said is above");
        findings.push(Finding { path: Path::new(BOOK).join("book.toml"), line: 1, what });
    }
    Ok(findings)
}

/// mdbook leaves out what its summary does not name.
pub(super) fn missing_in_summary(pages: &[Page]) -> Vec<Finding> {
    let summary = Path::new(BOOK).join(SUMMARY);
    let named: BTreeSet<PathBuf> = pages
        .iter()
        .filter(|page| page.path == summary)
        .flat_map(|page| page.links.iter().map(|link| Path::new(BOOK).join(&link.target)))
        .collect();
    let of_book =
        pages.iter().map(|page| &page.path).filter(|path| path.starts_with(BOOK) && **path != summary);
    let missing = of_book.filter(|path| !named.contains(*path));
    missing
        .map(|path| Finding {
            path: path.clone(),
            line: 1,
            what: format!("{BOOK}/{SUMMARY} does not name it"),
        })
        .collect()
}
