//! `cargo xtask words`: the documents are in plain words, as far as a program can tell.
//!
//! It looks for long sentences, for long lines, and for phrases that reviewers found hard to read. The history in the change log is
//! left as it is; so are the tables of generated pages.

mod phrases;
mod sentences;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::cargo;
use crate::page::{self, Page};

/// Words.
pub(crate) const LONGEST_SENTENCE: usize = 30;
/// Characters.
const LONGEST_LINE: usize = 100;
/// Its newest part is checked, the others are history.
const CHANGE_LOG: &str = "CHANGELOG.md";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What is wrong on a line of a page.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Finding {
    pub(crate) path: PathBuf,
    pub(crate) line: usize,
    pub(crate) what: String,
}

/// What the documents are like.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) pages: usize,
    pub(crate) sentences: usize,
    /// In words.
    pub(crate) longest: usize,
    pub(crate) findings: Vec<Finding>,
}

/// Checks all pages. Fails if there is a finding.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let words = check(&page::all(&cargo::workspace()?)?);
    let text = if options.json { words.to_json() } else { words.to_text() };
    writeln!(io::stdout(), "{text}").context("writing the result")?;
    Ok(if words.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads all prose of these pages.
pub(crate) fn check(pages: &[Page]) -> Words {
    let mut words = Words { pages: pages.len(), ..Words::default() };
    for page in pages {
        words.take(page);
    }
    words.findings.sort();
    words
}

impl Words {
    fn take(&mut self, page: &Page) {
        let end = end_of_news(page);
        let add = |findings: &mut Vec<Finding>, line, what| {
            findings.push(Finding { path: page.path.clone(), line, what });
        };
        let is_checked = |cell: bool| !(cell && page.is_generated());
        for prose in page.prose.iter().filter(|prose| is_checked(prose.is_cell)) {
            for (place, sentence) in sentences::split(&prose.text) {
                let line = prose.line_of(place);
                if line >= end {
                    continue;
                }
                let count = sentences::count_words(sentence);
                self.sentences += 1;
                self.longest = self.longest.max(count);
                if count > LONGEST_SENTENCE {
                    let beginning: String = sentence.chars().take(40).collect();
                    let what =
                        format!("a sentence of {count} words, {LONGEST_SENTENCE} are the most: {beginning}…");
                    add(&mut self.findings, line, what);
                }
            }
            for (place, phrase) in phrases::find(&prose.text) {
                let line = prose.line_of(place);
                if line < end {
                    add(&mut self.findings, line, format!("say it in plain words: {phrase:?}"));
                }
            }
        }
        for (line, length) in long_lines(page).filter(|(line, _)| *line < end) {
            let what = format!("a line of {length} characters, {LONGEST_LINE} are the most");
            add(&mut self.findings, line, what);
        }
    }

    fn to_text(&self) -> String {
        let findings = self
            .findings
            .iter()
            .map(|Finding { path, line, what }| format!("{}:{line}: {what}\n", path.display()));
        let lines: String = findings.collect();
        format!(
            "{lines}words: {} pages, {} sentences, the longest of {} words, {} findings",
            self.pages,
            self.sentences,
            self.longest,
            self.findings.len()
        )
    }

    fn to_json(&self) -> String {
        json!({
            "good": self.findings.is_empty(), "pages": self.pages, "sentences": self.sentences,
            "longest_sentence": self.longest, "findings": self.findings,
        })
        .to_string()
    }
}

/// The first line that is not checked any more.
fn end_of_news(page: &Page) -> usize {
    let parts = page.text.lines().enumerate().filter(|(_, line)| line.starts_with("## "));
    let second = (page.path.to_str() == Some(CHANGE_LOG)).then(|| parts.into_iter().nth(1)).flatten();
    second.map_or(usize::MAX, |(index, _)| index + 1)
}

/// Lines of prose that are too long, and their lengths. A line that is only a link cannot be wrapped.
fn long_lines(page: &Page) -> impl Iterator<Item = (usize, usize)> {
    let numbered = page.text.lines().enumerate().map(|(index, line)| (index + 1, line));
    numbered
        .filter(|(number, line)| {
            let is_rigid = page.rigid.iter().any(|lines| lines.contains(number));
            !is_rigid && !is_only_a_link(line)
        })
        .map(|(number, line)| (number, line.chars().count()))
        .filter(|(_, length)| *length > LONGEST_LINE)
}

/// Whether nothing but links and marks of lists is on the line: `- [text](target)`, `[name]: target`.
fn is_only_a_link(line: &str) -> bool {
    let line = line.trim_start_matches([' ', '-', '*', '+', '>', '!']);
    if line.starts_with('[') && line.contains("]: ") {
        return true;
    }
    let after_last = line.rsplit_once(')').map(|(_, rest)| rest);
    let is_closed = after_last.is_some_and(|rest| !rest.contains(char::is_alphanumeric));
    line.starts_with('[') && line.matches("](").count() == 1 && is_closed
}

#[cfg(test)]
mod tests;
