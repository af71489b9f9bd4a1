//! The documents say what is there, and no more.

use std::collections::BTreeSet;

use super::workspace::{files, members, read, root, sources};

type Names = BTreeSet<String>;

/// Documents beside the book. Each of them names paths.
const DOCUMENTS: [&str; 7] = [
    "ARCHITECTURE.md",
    "README.md",
    "deploy/README.md",
    "deploy/examples/README.md",
    "crates/pay-client/README.md",
    "crates/webhooks/README.md",
    "fuzz/README.md",
];
/// Where variables are explained: those of the programs, and those of `cargo xtask`.
const SETTINGS: [&str; 2] = ["docs/configuration.md", "docs/testing.md"];

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
        assert_paths_exist(document, &paths);
    }
    for (page, text) in book() {
        let paths: Vec<_> = code_spans(&text).filter(|code| is_path(code)).collect();
        assert_paths_exist(&page, &paths);
    }
}

fn assert_paths_exist(document: &str, paths: &[&str]) {
    for path in paths {
        assert!(root().join(path).exists(), "{document} names {path}, which is not there");
    }
}

#[test]
fn every_variable_is_explained_and_no_other() {
    let read_by_programs: Names =
        sources().iter().flat_map(|file| words(&read(file), "PAYRELAY_", is_of_variables)).collect();
    let for_users = |name: &String| !name.starts_with("PAYRELAY_TEST_") && !name.ends_with("_FILE");
    let expected: Names = read_by_programs.into_iter().filter(for_users).collect();
    let named = |text: &str| -> Names {
        words(text, "PAYRELAY_", is_of_variables).into_iter().filter(for_users).collect()
    };
    let explained: Names = SETTINGS.iter().flat_map(|page| named(&read(page))).collect();
    assert_eq!(explained, expected);
    // Those of compose files and of images stand in the book only where a program reads them, too.
    for (page, text) in book() {
        let strange = named(&text).into_iter().find(|name| !expected.contains(name) && !is_of_compose(name));
        assert_eq!(strange, None, "{page} names it, and no program reads it");
    }
}

/// What `docker-compose.yml` reads for itself.
fn is_of_compose(name: &str) -> bool {
    read("docker-compose.yml").contains(&format!("${{{name}:"))
}

#[test]
fn code_in_the_readme_is_compiled_code() {
    let examples: Vec<_> = files(&root().join("crates/pay-client/examples")).iter().map(read).collect();
    for (page, text) in book().into_iter().chain([("README.md".to_owned(), read("README.md"))]) {
        let mut blocks = blocks(&text, "rust");
        let strange = blocks.find(|block| !examples.iter().any(|example| example.contains(block)));
        assert_eq!(strange, None, "{page} shows it, and it stands in no example of pay-client");
    }
    let publishers = read("docs/publishers.md");
    assert!(blocks(&publishers, "rust").count() > 0, "the page for publishers shows no code");
}

#[test]
fn alerts_name_metrics_that_exist() {
    let sources: Vec<_> = sources().iter().map(read).collect();
    let alerts = "deploy/prometheus/alerts.yml";
    let metrics_of = |text: &str| words(text, "payrelay_", |c| c.is_ascii_lowercase() || c == '_');
    assert!(!metrics_of(&read(alerts)).is_empty(), "{alerts} names no metric");
    let named_in_the_book = book().iter().filter(|(_, text)| !metrics_of(text).is_empty()).count();
    assert!(named_in_the_book > 10, "{named_in_the_book} pages name a metric");
    for (document, text) in book().into_iter().chain([(alerts.to_owned(), read(alerts))]) {
        for metric in metrics_of(&text) {
            // What the exporter appends to the name of a histogram.
            let name = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| metric.strip_suffix(suffix));
            let quoted = format!("\"{}\"", name.unwrap_or(&metric));
            let is_recorded = sources.iter().any(|source| source.contains(&quoted));
            assert!(is_recorded, "{document} names {metric}, which no source records");
        }
    }
}

/// The pages of the book, each with its path from the root, and its text.
fn book() -> Vec<(String, String)> {
    let pages =
        files(&root().join("docs")).into_iter().filter(|path| path.extension() == Some("md".as_ref()));
    let pages: Vec<_> = pages
        .map(|path| {
            let name = path.strip_prefix(root()).expect("a page lies below the root").display().to_string();
            (name, read(&path))
        })
        .collect();
    assert!(pages.len() > 50, "the book has only {} pages", pages.len());
    pages
}

/// The blocks of code in this language.
fn blocks<'a>(text: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let rests = text.split(&format!("\n```{language}\n")).skip(1).collect::<Vec<_>>();
    rests.into_iter().map(|rest| rest.split("```").next().unwrap_or_default())
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
