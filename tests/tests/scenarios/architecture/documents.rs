//! The documents say what is there, and no more.

use std::collections::BTreeSet;

use super::workspace::{files, members, read, root, sources};

type Names = BTreeSet<String>;

const DOCUMENTS: [&str; 7] = [
    "ARCHITECTURE.md",
    "README.md",
    "deploy/README.md",
    "deploy/examples/README.md",
    "crates/pay-client/README.md",
    "crates/webhooks/README.md",
    "fuzz/README.md",
];

#[test]
fn every_crate_of_the_workspace_is_listed() {
    let members: Names = members().map(|package| package.name.to_string()).collect();
    assert_eq!(first_column("## Crates"), members);
}

#[test]
fn every_dependency_is_justified_and_no_other() {
    let used: Names = members()
        .flat_map(|package| &package.dependencies)
        .filter(|dependency| dependency.path.is_none())
        .map(|dependency| dependency.name.clone())
        .collect();
    assert_eq!(first_column("## Dependencies"), used);
}

#[test]
fn every_path_exists() {
    for document in DOCUMENTS {
        let text = read(document);
        let paths: Vec<_> = code_spans(&text).filter(|code| is_path(code)).collect();
        assert!(!paths.is_empty(), "{document} names no path");
        for path in paths {
            assert!(root().join(path).exists(), "{document} names {path}, which is not there");
        }
    }
}

#[test]
fn every_variable_is_explained_and_no_other() {
    let read_by_programs: Names =
        sources().iter().flat_map(|file| words(&read(file), "PAYRELAY_", is_of_variables)).collect();
    let for_users = |name: &String| !name.starts_with("PAYRELAY_TEST_") && !name.ends_with("_FILE");
    let expected: Names = read_by_programs.into_iter().filter(for_users).collect();
    let explained: Names =
        words(&read("README.md"), "PAYRELAY_", is_of_variables).into_iter().filter(for_users).collect();
    assert_eq!(explained, expected);
}

#[test]
fn code_in_the_readme_is_compiled_code() {
    let examples: Vec<_> = files(&root().join("crates/pay-client/examples")).iter().map(read).collect();
    let readme = read("README.md");
    let mut blocks =
        readme.split("\n```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    assert!(blocks.clone().count() > 0, "the README shows no code");
    let strange = blocks.find(|block| !examples.iter().any(|example| example.contains(block)));
    assert_eq!(strange, None, "stands in no example of pay-client");
}

#[test]
fn alerts_name_metrics_that_exist() {
    let sources: Vec<_> = sources().iter().map(read).collect();
    for document in ["deploy/prometheus/alerts.yml", "deploy/README.md"] {
        let text = read(document);
        let metrics: Names = words(&text, "payrelay_", |c| c.is_ascii_lowercase() || c == '_');
        assert!(!metrics.is_empty(), "{document} names no metric");
        for metric in metrics {
            // What the exporter appends to the name of a histogram.
            let name = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| metric.strip_suffix(suffix));
            let quoted = format!("\"{}\"", name.unwrap_or(&metric));
            assert!(sources.iter().any(|source| source.contains(&quoted)), "no source records {metric}");
        }
    }
}

/// What stands as code in the first column of the table below this heading of `ARCHITECTURE.md`.
fn first_column(heading: &str) -> Names {
    let text = read("ARCHITECTURE.md");
    let below = text.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("no {heading}"));
    let section = below.split("\n## ").next().unwrap_or_default();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    cells.flat_map(code_spans).map(str::to_owned).collect()
}

fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

fn is_path(code: &str) -> bool {
    ["crates/", "deploy/", "fuzz/", "proto/", "tests/"].iter().any(|folder| code.starts_with(folder))
        && !code.contains([' ', '<', '*', '{'])
}

/// The words that begin with `prefix` and are longer than it; `is_part` tells the characters of a word.
fn words(text: &str, prefix: &str, is_part: fn(char) -> bool) -> Names {
    let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with(prefix) && *word != prefix);
    words.map(str::to_owned).collect()
}

const fn is_of_variables(c: char) -> bool {
    c.is_ascii_uppercase() || c == '_'
}
