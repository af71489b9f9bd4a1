//! A page of the documents, read for its prose, links and commands.

mod anchors;
mod reader;

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::tree;

/// How a generated page begins.
const GENERATED: &str = "<!-- Generated";

/// A page of Markdown. Lines count from 1.
#[derive(Debug)]
pub(crate) struct Page {
    /// From the root of the workspace.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) prose: Vec<Prose>,
    pub(crate) links: Vec<Link>,
    /// What a link may name after `#`.
    pub(crate) anchors: BTreeSet<String>,
    pub(crate) blocks: Vec<Block>,
    /// Lines that hold no prose that could be wrapped: tables, code and HTML.
    pub(crate) rigid: Vec<Range<usize>>,
}

/// A paragraph, a heading, or what stands in an item of a list or in a cell of a table.
#[derive(Debug)]
pub(crate) struct Prose {
    /// In one line; code stands in backticks.
    pub(crate) text: String,
    pub(crate) is_cell: bool,
    /// The lines on which pieces of the text begin, by their places in it.
    pieces: Vec<(usize, usize)>,
}

impl Prose {
    /// The line of the page on which this byte of the text stands.
    pub(crate) fn line_of(&self, place: usize) -> usize {
        let after = self.pieces.partition_point(|(from, _)| *from <= place);
        self.pieces[after.saturating_sub(1)].1
    }
}

/// A link or an image.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) line: usize,
    pub(crate) target: String,
}

/// Commands of a shell.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The line of the fence.
    pub(crate) line: usize,
    pub(crate) commands: String,
    /// Why they do not run in a test.
    pub(crate) not_run: Option<String>,
}

impl Page {
    /// Reads the text of a page.
    pub(crate) fn parse(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        reader::read(path.into(), text.into())
    }

    /// Whether a command wrote it.
    pub(crate) fn is_generated(&self) -> bool {
        self.text.starts_with(GENERATED)
    }
}

/// All pages of the workspace, in the order of their paths.
pub(crate) fn all(root: &Path) -> Result<Vec<Page>> {
    let files = tree::files(root)?;
    let pages = files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "md"));
    pages
        .map(|path| {
            let text = fs::read_to_string(root.join(&path));
            let text = text.with_context(|| format!("reading {}", path.display()))?;
            Ok(Page::parse(path, text))
        })
        .collect()
}

#[cfg(test)]
mod tests;
