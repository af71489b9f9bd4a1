//! Mutants that stand in a list: of SQL, which is text to the compiler, and of what cargo-mutants does not make.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::ExitStatus;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::account::{Account, Fate};
use super::progress;
use super::shard::Shard;
use super::workshop::Workshop;
use crate::cargo;
use crate::count::Counts;

/// What `--only` calls them.
pub(super) const PART: &str = "listed";
const FILE: &str = "tests/mutants/listed.toml";
/// For tests that wait in vain for a state up to half a minute each, one after the other.
const TIMEOUT_SECONDS: &str = "1200";
/// What `timeout` ends with when the time is over.
const TIMED_OUT: i32 = 124;

/// One mutant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mutation {
    /// Relative to the workspace.
    file: String,
    /// What is wrong then.
    what: String,
    /// Stands in the file exactly once.
    find: String,
    replace: String,
    /// What `cargo test` gets: some of the tests that must fail.
    tests: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    mutation: Vec<Mutation>,
}

/// The list. Fails if a text is not found, or not clear, so that no mutant is lost when code changes.
pub(super) fn read(root: &Path) -> Result<Vec<Mutation>> {
    let text = fs::read_to_string(root.join(FILE)).with_context(|| format!("reading {FILE}"))?;
    let List { mutation: list } = toml::from_str(&text).with_context(|| FILE.to_owned())?;
    for mutation in &list {
        mutation.apply(&root.join(&mutation.file)).with_context(|| format!("{FILE}: {}", mutation.what))?;
    }
    Ok(list)
}

impl Mutation {
    fn key(&self) -> String {
        format!("{}: {}", self.file, self.what)
    }

    /// The file's text as it is, and with the mutation.
    fn apply(&self, path: &Path) -> Result<(String, String)> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", self.file))?;
        let found = text.matches(&self.find).count();
        ensure!(found == 1, "{} holds {found} times, not once: {}", self.file, self.find);
        let mutated = text.replace(&self.find, &self.replace);
        ensure!(mutated != text, "nothing is replaced in {}", self.file);
        Ok((text, mutated))
    }
}

/// Tests the mutants that belong to the shard.
pub(super) fn run(list: &[Mutation], workshop: &Workshop, shard: Shard, account: &mut Account) -> Result<()> {
    let mut mine: BTreeMap<&[String], Vec<&Mutation>> = BTreeMap::new();
    for (place, mutation) in list.iter().enumerate() {
        account.there_is(&mutation.key());
        if shard.has(place) {
            mine.entry(&mutation.tests).or_default().push(mutation);
        }
    }
    for (tests, mutations) in mine {
        require_good(tests, workshop)?;
        for mutation in mutations {
            let fate = test(mutation, workshop)?;
            progress(&format!("{}: {fate:?}", mutation.key()));
            account.add(&mutation.key(), fate);
        }
    }
    Ok(())
}

/// Tests that fail anyhow, or are none, tell nothing.
fn require_good(tests: &[String], workshop: &Workshop) -> Result<()> {
    progress(&format!("cargo test {}: without mutation", tests.join(" ")));
    let (status, log) = cargo_test(tests, workshop)?;
    ensure!(status.success(), "cargo test {} fails without any mutation:\n{log}", tests.join(" "));
    let mut counts = Counts::default();
    for line in log.lines() {
        counts.take(line);
    }
    ensure!(counts.tests > 0, "no test is called as in `cargo test {}`", tests.join(" "));
    Ok(())
}

fn test(mutation: &Mutation, workshop: &Workshop) -> Result<Fate> {
    let path = workshop.tree.join(&mutation.file);
    let (text, mutated) = mutation.apply(&path)?;
    let write = |text: &str| fs::write(&path, text).with_context(|| format!("writing {}", path.display()));
    write(&mutated)?;
    let result = fate(mutation, workshop);
    write(&text)?;
    result
}

fn fate(mutation: &Mutation, workshop: &Workshop) -> Result<Fate> {
    let tests = &mutation.tests;
    // Before the name of a test, which ends cargo's options.
    let building = [&["--no-run".to_owned()], tests.as_slice()].concat();
    let (built, log) = cargo_test(&building, workshop)?;
    ensure!(built.success(), "{} does not compile:\n{log}", mutation.key());
    let (status, _) = cargo_test(tests, workshop)?;
    Ok(match status.code() {
        Some(0) => Fate::Survived,
        Some(1 | 101 | TIMED_OUT) => Fate::Caught,
        _ => bail!("cargo test {} ({status})", tests.join(" ")),
    })
}

/// How `cargo test` ended, and what it wrote. All that it started ends with its time.
fn cargo_test(tests: &[String], workshop: &Workshop) -> Result<(ExitStatus, String)> {
    let path = workshop.logs.join("listed.log");
    let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    let mut command = workshop.command("timeout");
    command
        .args(["--kill-after=30", TIMEOUT_SECONDS])
        .arg(cargo::command().get_program())
        .arg("test")
        .args(tests);
    let status = command
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .context("timeout (of coreutils) cannot be run")?;
    Ok((status, fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?))
}
