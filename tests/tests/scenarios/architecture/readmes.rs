//! The README and its Chinese translation name the same commands, links, files and figures.

use std::collections::BTreeSet;

use super::workspace::read;

const ENGLISH: &str = "README.md";
const CHINESE: &str = "README.zh-CN.md";

#[test]
fn both_show_the_same_commands_and_what_they_print() {
    let (english, chinese) = (read(ENGLISH), read(CHINESE));
    let expected = literal_blocks(&english);
    assert!(!expected.is_empty(), "the README shows no command");
    assert_eq!(literal_blocks(&chinese), expected);
}

#[test]
fn both_have_the_same_sections_and_rows() {
    let shape = |text: &str| -> Vec<&'static str> {
        let prose = without_blocks(text);
        let kinds = [("## ", "heading"), ("| ", "row"), ("- ", "point")];
        let kind =
            |line: &str| kinds.iter().find(|(start, _)| line.starts_with(start)).map(|(_, kind)| *kind);
        prose.lines().filter_map(kind).collect()
    };
    let english = shape(&read(ENGLISH));
    assert!(english.contains(&"heading"), "the README has no sections");
    assert_eq!(shape(&read(CHINESE)), english);
}

#[test]
fn both_link_to_the_same_pages() {
    let targets = |document: &str| -> BTreeSet<String> {
        let text = read(document);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        targets.map(str::to_owned).filter(|target| target != ENGLISH && target != CHINESE).collect()
    };
    let english = targets(ENGLISH);
    assert!(english.iter().any(|target| target.starts_with("docs/")), "the README links to no page");
    assert_eq!(targets(CHINESE), english);
    assert!(read(ENGLISH).contains(&format!("({CHINESE})")), "no link to the translation");
    assert!(read(CHINESE).contains(&format!("({ENGLISH})")), "no link to the original");
}

#[test]
fn both_name_the_same_files_commands_and_settings() {
    let spans = |document: &str| -> BTreeSet<String> {
        let prose = without_blocks(&read(document));
        prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    assert_eq!(spans(CHINESE), spans(ENGLISH));
}

#[derive(Debug, PartialEq, Eq)]
struct Block<'a> {
    language: &'a str,
    text: &'a str,
}

/// The fenced blocks of a document, in their order. Pictures are left out: their labels are translated.
fn literal_blocks(text: &str) -> Vec<Block<'_>> {
    let fenced = text.split("\n```").skip(1).step_by(2);
    fenced
        .map(|block| {
            let (language, text) = block.split_once('\n').expect("a fence ends its line");
            Block { language, text }
        })
        .filter(|block| block.language != "mermaid")
        .collect()
}

/// A document without its fenced blocks.
fn without_blocks(text: &str) -> String {
    text.split("\n```").step_by(2).collect::<Vec<_>>().join("\n")
}
