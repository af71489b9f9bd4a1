//! Each decision has a page of the same form, and the list names them all.

use super::workspace::{files, read, root};

const FOLDER: &str = "docs/decisions";
const SECTIONS: [&str; 4] = ["## Context", "## Decision", "## What was tried", "## Consequences"];

#[test]
fn every_decision_is_listed_and_has_its_sections() {
    let list = read(format!("{FOLDER}/README.md"));
    let listed: Vec<_> = list.lines().filter(|line| line.starts_with("| ") && line.contains("](")).collect();
    let pages = pages();
    assert!(!pages.is_empty(), "no decision is on record");
    assert_eq!(listed.len(), pages.len(), "the list has a row for each page");
    for (index, (page, row)) in pages.iter().zip(listed).enumerate() {
        let number = index + 1;
        assert!(page.starts_with(&format!("{number:04}-")), "{page} is decision {number}");
        let text = read(format!("{FOLDER}/{page}"));
        let (first, rest) = text.split_once('\n').expect("a title");
        let title = first.strip_prefix(&format!("# {number}. ")).expect("a title with its number");
        assert_eq!(row, format!("| {number} | [{title}]({page}) |"));
        let sections: Vec<_> = rest.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(sections, SECTIONS, "{page}");
    }
}

/// The names of the pages, in the order of their numbers.
fn pages() -> Vec<String> {
    let names = files(&root().join(FOLDER)).into_iter().filter_map(|file| {
        let name = file.file_name()?.to_str()?;
        name.starts_with(|first: char| first.is_ascii_digit()).then(|| name.to_owned())
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}
