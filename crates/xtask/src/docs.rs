//! `cargo xtask docs`: the documents can be built, followed and done.
//!
//! It builds the book, follows the links between all pages, and runs the shell blocks of the README and of the book, page by page.

mod book;
mod commands;
mod links;
mod report;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::page::{self, Page};
use crate::{cargo, setup, tree, words};
use report::{NotRun, Report};

/// The folder of the book.
const BOOK: &str = "docs";
/// Pages that begin a reader's way: all that they tell to do runs in this test.
const FIRST_PAGES: [&str; 2] = ["README.md", "docs/first-payment.md"];
/// The programs that pages may call.
const PROGRAMS: [&str; 4] = ["payrelay", "ingress", "order-service", "merchant-notifier"];
/// Of which packages they are.
const PACKAGES: [&str; 4] = ["operator", "ingress", "order-service", "merchant-notifier"];

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run the commands of this page only, and do not build the book; may be repeated
    #[arg(long, value_name = "PAGE")]
    only: Vec<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Checks the documents. Fails if something is wrong with them.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let root = cargo::workspace()?;
    let pages = page::all(&root)?;
    let is_wanted = |page: &Page| options.only.is_empty() || options.only.iter().any(|only| is(page, only));
    let with_commands: Vec<_> = pages.iter().filter(|page| has_commands(page)).collect();
    for only in &options.only {
        let is_known = with_commands.iter().any(|page| is(page, only));
        ensure!(is_known, "{only} is neither README.md nor a page of {BOOK}/");
    }

    let words = words::check(&pages);
    let mut report = Report::new(pages.len(), words.longest);
    report.dead_links = links::check(&pages, &tree::files(&root)?);
    report.not_run = not_run(&with_commands);
    report.judge_not_run(with_commands.iter().map(|page| page.blocks.len()).sum(), FIRST_PAGES);
    if options.only.is_empty() {
        report.failures.extend(book::check(&root, &pages)?);
    }
    let wanted: Vec<_> = with_commands.into_iter().filter(|page| is_wanted(page)).collect();
    run_commands(&root, &wanted, &mut report)?;

    let text = if options.json { report.to_json() } else { report.to_text() };
    writeln!(io::stdout(), "{text}").context("writing the result")?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_commands(root: &Path, pages: &[&Page], report: &mut Report) -> Result<()> {
    if pages.iter().all(|page| page.blocks.iter().all(|block| block.not_run.is_some())) {
        return Ok(());
    }
    progress("building the programs");
    let packages = PACKAGES.iter().flat_map(|package| ["--package", package]);
    let programs = PROGRAMS.iter().flat_map(|program| ["--bin", program]);
    cargo::run(&["build"].into_iter().chain(packages).chain(programs).collect::<Vec<_>>())?;
    setup::run()?;
    let workshop = commands::Workshop::new(root)?;
    for page in pages {
        let outcome = workshop.run(page)?;
        report.commands_run += outcome.run;
        report.failures.extend(outcome.failure);
    }
    Ok(())
}

fn not_run(pages: &[&Page]) -> Vec<NotRun> {
    let blocks = pages.iter().flat_map(|page| page.blocks.iter().map(|block| (&page.path, block)));
    let with_reason = blocks.filter_map(|(path, block)| {
        let reason = block.not_run.clone()?;
        Some(NotRun { path: path.clone(), line: block.line, reason })
    });
    with_reason.collect()
}

fn has_commands(page: &Page) -> bool {
    page.path == Path::new("README.md") || page.path.starts_with(BOOK)
}

fn is(page: &Page, name: &str) -> bool {
    page.path == Path::new(name)
}

/// A line of progress: on the standard error output, beside the result.
fn progress(text: &str) {
    // Where nobody listens, the work goes on.
    let _ = writeln!(io::stderr(), "docs: {text}");
}

#[cfg(test)]
mod tests;
