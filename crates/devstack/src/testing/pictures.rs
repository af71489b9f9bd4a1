//! The state machines as `ARCHITECTURE.md` draws them, for the tests that compare them with the code.

use std::collections::BTreeSet;
use std::fs;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ARCHITECTURE.md");
const FENCE: &str = "```mermaid\nstateDiagram-v2\n";

/// Where a picture begins.
pub const START: &str = "[*]";

/// One change of a state, as a picture shows it: `from --> to: cause`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    /// The state before; [`START`] where something is made.
    pub from: String,
    /// The state after.
    pub to: String,
    /// What causes it. An arrow of the picture with several causes, separated by commas, is one of these for each.
    pub cause: String,
}

impl Arrow {
    /// The arrow between two states.
    pub fn new(from: impl Into<String>, to: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { from: from.into(), to: to.into(), cause: cause.into() }
    }
}

/// The arrows of the picture in the section under this heading.
///
/// # Panics
/// When there is no such picture, or a line of it is no arrow.
pub fn arrows(heading: &str) -> BTreeSet<Arrow> {
    let text = fs::read_to_string(DOCUMENT).unwrap_or_else(|error| panic!("{DOCUMENT}: {error}"));
    parse(&text, heading)
}

fn parse(text: &str, heading: &str) -> BTreeSet<Arrow> {
    let (_, section) =
        text.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    let section = section.split("\n#").next().unwrap_or_default();
    let (_, picture) = section.split_once(FENCE).unwrap_or_else(|| panic!("no picture under {heading}"));
    let (picture, _) = picture.split_once("\n```").expect("a fence that ends");
    picture.lines().flat_map(arrows_of_line).collect()
}

fn arrows_of_line(line: &str) -> impl Iterator<Item = Arrow> {
    let parts = line.split_once(" --> ").and_then(|(from, rest)| Some((from, rest.split_once(": ")?)));
    let (from, (to, causes)) = parts.unwrap_or_else(|| panic!("expected `A --> B: cause`, got {line:?}"));
    causes.split(", ").map(move |cause| Arrow::new(from.trim(), to, cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Title\n\n### A\n\nWords.\n\n```mermaid\nstateDiagram-v2\n  [*] --> X: made\n  X --> Y: one, two\n```\n\n### B\n";

    #[test]
    fn each_cause_is_an_arrow() {
        let expected =
            [Arrow::new(START, "X", "made"), Arrow::new("X", "Y", "one"), Arrow::new("X", "Y", "two")];
        assert_eq!(parse(TEXT, "### A"), expected.into());
    }

    #[test]
    #[should_panic(expected = "no picture under ### B")]
    fn another_section_is_not_looked_at() {
        parse(TEXT, "### B");
    }
}
