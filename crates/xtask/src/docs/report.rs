//! What is said of the documents in the end.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;

use crate::words::{Finding, LONGEST_SENTENCE};

/// Of so many blocks one may not run.
const BLOCKS_FOR_ONE_NOT_RUN: usize = 10;

/// A block that does not run here.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct NotRun {
    pub(super) path: PathBuf,
    pub(super) line: usize,
    pub(super) reason: String,
}

/// The result for all pages.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) pages: usize,
    /// Blocks that ran to their end.
    pub(super) commands_run: usize,
    pub(super) not_run: Vec<NotRun>,
    pub(super) dead_links: Vec<Finding>,
    /// Whatever else is wrong.
    pub(super) failures: Vec<Finding>,
    /// In words.
    pub(super) longest_sentence: usize,
}

impl Report {
    pub(super) fn new(pages: usize, longest_sentence: usize) -> Self {
        Self { pages, longest_sentence, ..Self::default() }
    }

    /// Notes blocks that must run, and whether too many do not; `blocks` are all there are.
    pub(super) fn judge_not_run(&mut self, blocks: usize, first_pages: [&str; 2]) {
        let of_first = self
            .not_run
            .iter()
            .filter(|block| first_pages.iter().any(|page| block.path == PathBuf::from(page)));
        let must_run = of_first.map(|NotRun { path, line, .. }| Finding {
            path: path.clone(),
            line: *line,
            what: "every command of this page must run".to_owned(),
        });
        self.failures.extend(must_run.collect::<Vec<_>>());
        let count = self.not_run.len();
        if count * BLOCKS_FOR_ONE_NOT_RUN > blocks
            && let Some(NotRun { path, line, .. }) = self.not_run.last()
        {
            let what = format!("{count} of {blocks} blocks do not run; one of {BLOCKS_FOR_ONE_NOT_RUN} may");
            self.failures.push(Finding { path: path.clone(), line: *line, what });
        }
    }

    pub(super) fn is_good(&self) -> bool {
        self.failures.is_empty() && self.dead_links.is_empty() && self.longest_sentence <= LONGEST_SENTENCE
    }

    pub(super) fn to_text(&self) -> String {
        let not_run = self
            .not_run
            .iter()
            .map(|NotRun { path, line, reason }| format!("not run: {}:{line}: {reason}\n", path.display()));
        let findings = self
            .dead_links
            .iter()
            .chain(&self.failures)
            .map(|Finding { path, line, what }| format!("{}:{line}: {what}\n", path.display()));
        let lines: String = not_run.chain(findings).collect();
        format!(
            "{lines}docs: {} pages, {} commands run, {} not run, {} dead links, longest sentence {} words",
            self.pages,
            self.commands_run,
            self.not_run.len(),
            self.dead_links.len(),
            self.longest_sentence
        )
    }

    pub(super) fn to_json(&self) -> String {
        json!({
            "good": self.is_good(), "pages": self.pages, "commands_run": self.commands_run, "not_run": self.not_run,
            "dead_links": self.dead_links, "failures": self.failures, "longest_sentence": self.longest_sentence,
        })
        .to_string()
    }
}
