use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::book::missing_in_summary;
use super::commands::Workshop;
use super::links;
use super::report::{NotRun, Report};
use crate::page::Page;
use crate::words::Finding;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn links_lead_to_files_folders_and_headings() {
    let readme = Page::parse(
        "README.md",
        "# Top\n[a](docs/a.md) [b](docs/a.md#one) [c](#top) [d](docs) [e](docs/#page-a) [f](https://x/y)\n\
         [g](../../security/advisories/new) [h](src/main.rs#L10) [i](mailto:a@b)\n",
    );
    let page = Page::parse("docs/README.md", "# Page A\n[up](../README.md#top) [here](a.md)\n");
    let other = Page::parse("docs/a.md", "# One\n");
    let files = ["README.md", "docs/README.md", "docs/a.md", "src/main.rs"].map(PathBuf::from);
    assert_eq!(links::check(&[readme, page, other], &files.into()), []);
}

#[test]
fn dead_links_are_told_with_their_reason() {
    let page = Page::parse(
        "docs/a.md",
        "# One\n[a](b.md)\n[b](#two)\n[c](/docs/a.md)\n[d](../../elsewhere)\n[e](../x.rs#main)\n[f](A.md)\n",
    );
    let files = ["docs/a.md", "x.rs"].map(PathBuf::from);
    let told = links::check(&[page], &files.into());
    let told: Vec<_> = told.iter().map(|finding| (finding.line, finding.what.as_str())).collect();
    let expected = [
        (2, "dead link b.md: no such file"),
        (3, "dead link #two: the page has no such heading"),
        (4, "dead link /docs/a.md: links are relative"),
        (5, "dead link ../../elsewhere: outside the repository"),
        (6, "dead link ../x.rs#main: only pages have headings"),
        (7, "dead link A.md: no such file"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_summary_names_every_page_of_the_book() {
    let pages = [
        Page::parse("docs/SUMMARY.md", "- [A](a.md)\n"),
        Page::parse("docs/a.md", "# A\n"),
        Page::parse("docs/sub/b.md", "# B\n"),
        Page::parse("README.md", "# C\n"),
    ];
    let missing: Vec<_> = missing_in_summary(&pages).into_iter().map(|finding| finding.path).collect();
    assert_eq!(missing, [PathBuf::from("docs/sub/b.md")]);
}

/// A page with these blocks of commands.
fn page(blocks: &[&str]) -> Page {
    Page::parse("docs/a.md", format!("```sh\n{}\n```\n", blocks.join("\n```\n\n```sh\n")))
}

#[test]
fn the_blocks_of_a_page_share_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let workshop = Workshop::small(folder.path(), LIMIT);
    let outcome = workshop.run(&page(&["a=1\necho $a >file", "test \"$a$(cat file)\" = 11"])).unwrap();
    assert_eq!((outcome.run, outcome.failure), (2, None));
    assert!(folder.path().join("docs/docs-a/tree/file").is_file(), "it ran elsewhere");
}

#[test]
fn cargo_runs_in_the_workspace() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("root")).unwrap();
    let workshop = Workshop::small(folder.path(), LIMIT);
    let blocks =
        ["command -v cargo | grep 'docs-a/bin/cargo$'", "! cargo metadata --offline 2>err", "grep root err"];
    let outcome = workshop.run(&page(&blocks)).unwrap();
    assert_eq!((outcome.run, outcome.failure), (3, None));
}

#[test]
fn the_block_that_fails_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let workshop = Workshop::small(folder.path(), LIMIT);
    for failing in ["false", "false | true", "echo $not_set", "exit 3"] {
        let outcome = workshop.run(&page(&["true", failing, "true"])).unwrap();
        let failure = outcome.failure.expect(failing);
        assert_eq!((outcome.run, failure.line), (1, 5), "{failing}: {failure:?}");
    }
}

#[test]
fn what_a_page_starts_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let workshop = Workshop::small(folder.path(), LIMIT);
    let pid_file = folder.path().join("pid");
    let left = format!("sleep 600 & echo $! >'{}'", pid_file.display());
    let outcome = workshop.run(&page(&[&left])).unwrap();
    assert_eq!((outcome.run, outcome.failure), (1, None));
    let pid = std::fs::read_to_string(pid_file).unwrap();
    assert!(!PathBuf::from(format!("/proc/{}", pid.trim())).exists(), "it still runs");
}

#[test]
fn a_page_that_hangs_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let workshop = Workshop::small(folder.path(), Duration::from_millis(500));
    let failure = workshop.run(&page(&["true", "sleep 600"])).unwrap().failure.expect("it hangs");
    assert_eq!(failure.line, 5);
    assert!(failure.what.starts_with("the page takes longer than"), "{failure:?}");
}

fn not_run(path: &str) -> NotRun {
    NotRun { path: path.into(), line: 7, reason: "needs a server".to_owned() }
}

#[test]
fn one_block_of_ten_may_not_run() {
    let judged = |blocks, path: &str| {
        let mut report = Report { not_run: vec![not_run(path)], ..Report::new(2, 30) };
        report.judge_not_run(blocks, super::FIRST_PAGES);
        report.is_good()
    };
    assert!(judged(10, "docs/a.md") && !judged(9, "docs/a.md"));
    assert!(!judged(100, "README.md") && !judged(100, "docs/first-payment.md"));
}

#[test]
fn the_sum_is_printed_last() {
    let dead = Finding { path: "a.md".into(), line: 2, what: "dead link b.md: no such file".to_owned() };
    let report = Report {
        commands_run: 3,
        not_run: vec![not_run("docs/a.md")],
        dead_links: vec![dead],
        ..Report::new(2, 30)
    };
    assert!(!report.is_good());
    assert_eq!(
        report.to_text(),
        "not run: docs/a.md:7: needs a server\na.md:2: dead link b.md: no such file\n\
         docs: 2 pages, 3 commands run, 1 not run, 1 dead links, longest sentence 30 words"
    );
    let no_findings: BTreeSet<PathBuf> = BTreeSet::new();
    assert!(Report::new(0, 30).is_good() && links::check(&[], &no_findings).is_empty());
    assert!(!Report::new(0, 31).is_good(), "a sentence is too long");
}
