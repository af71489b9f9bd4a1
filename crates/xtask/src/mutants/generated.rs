//! Mutants of pure code, made by cargo-mutants.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::account::{Account, Fate};
use super::progress;
use super::shard::Shard;
use super::workshop::Workshop;
use crate::tools::Tool;

const PROGRAM: &str = "cargo-mutants";
const TOOL: Tool = Tool { name: PROGRAM, version: "27.1.0", options: &[] };
/// A mutant that takes this long hangs: the tests of a unit take seconds. Generous, for the machine may be busy.
const TEST_TIMEOUT_SECONDS: &str = "180";
const BUILD_TIMEOUT_SECONDS: &str = "1800";

/// Code that is mutated, and the tests that must catch it.
pub(super) struct Unit {
    pub(super) package: &'static str,
    /// Globs; none means all files of the package.
    files: &'static [&'static str],
    /// What `cargo test` gets. As little as can tell, for each mutant builds it anew.
    tests: &'static [&'static str],
}

/// The cheapest and the most telling first.
pub(super) const UNITS: [Unit; 7] = [
    Unit { package: "events", files: &[], tests: &["--lib"] },
    Unit { package: "webhooks", files: &[], tests: &["--lib", "--test", "webhooks"] },
    Unit {
        package: "order-service",
        files: &["crates/order-service/src/decide*"],
        tests: &["--lib", "decide"],
    },
    Unit { package: "ingress", files: &["crates/ingress/src/facts/fold*"], tests: &["--lib", "facts::fold"] },
    Unit {
        package: "operator",
        files: &["crates/operator/src/commands/audit/judge*"],
        tests: &["--lib", "audit::judge"],
    },
    Unit {
        package: "ledger",
        files: &[
            "crates/ledger/src/account.rs",
            "crates/ledger/src/flow.rs",
            "crates/ledger/src/post/plan.rs",
        ],
        tests: &["--lib", "--test", "ledger"],
    },
    Unit { package: "channels", files: &[], tests: &["--lib", "--test", "channels"] },
];

/// Tests the mutants of this unit that belong to the shard.
pub(super) fn run(unit: &Unit, workshop: &Workshop, shard: Shard, account: &mut Account) -> Result<()> {
    let program = TOOL.install(progress)?;
    let named = list(unit, workshop, &program)?;
    for key in &named {
        account.there_is(key);
    }
    progress(&format!("{}: {} mutants in all", unit.package, named.len()));
    let folder = workshop.logs.join(unit.package);
    let mut command = command(unit, workshop, &program);
    command.arg("--in-place").arg("--output").arg(&folder).args(["--shard", &shard.counted_from_zero()]);
    command.args(["--minimum-test-timeout", TEST_TIMEOUT_SECONDS, "--build-timeout", BUILD_TIMEOUT_SECONDS]);
    command.arg("--").args(unit.tests);
    // Its standard output is progress to us.
    let output = io::stderr().as_fd().try_clone_to_owned().context("the standard error output")?;
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let status =
        command.stdout(Stdio::from(output)).status().with_context(|| format!("{PROGRAM} cannot be run"))?;
    match status.code() {
        // All were caught, some survived, some did not end.
        Some(0 | 2 | 3) => {}
        Some(4) => bail!("the tests of {} fail without any mutation; see {}", unit.package, folder.display()),
        _ => bail!("{PROGRAM} of {} ({status}); see {}", unit.package, folder.display()),
    }
    // Without a mutant in this shard it writes nothing.
    let file = folder.join("mutants.out/outcomes.json");
    let text = if file.exists() { fs::read_to_string(&file)? } else { r#"{"outcomes": []}"#.to_owned() };
    for (key, fate) in outcomes(&text).with_context(|| format!("reading {}", file.display()))? {
        account.add(&key, fate);
    }
    Ok(())
}

fn command(unit: &Unit, workshop: &Workshop, program: &Path) -> Command {
    let mut command = workshop.command(program);
    command
        .args(["mutants", "--colors", "never", "--package", unit.package])
        .arg("--dir")
        .arg(&workshop.tree);
    command.args(unit.files.iter().flat_map(|file| ["--file", file]));
    command
}

/// The keys of all mutants of the unit, in all shards.
fn list(unit: &Unit, workshop: &Workshop, program: &Path) -> Result<Vec<String>> {
    let listed = command(unit, workshop, program).args(["--list", "--json"]).output();
    let listed = listed.with_context(|| format!("{PROGRAM} cannot be run"))?;
    ensure!(listed.status.success(), "{PROGRAM} --list: {}", String::from_utf8_lossy(&listed.stderr));
    let mutants: Vec<Mutant> = serde_json::from_slice(&listed.stdout).context("the list of mutants")?;
    mutants.iter().map(Mutant::key).collect()
}

#[derive(Deserialize)]
struct Mutant {
    /// `crates/events/src/money.rs:113:52: replace || with && in Money::parse_decimal`
    name: String,
    file: String,
}

impl Mutant {
    fn key(&self) -> Result<String> {
        let mutation = self.name.strip_prefix(&self.file).and_then(|rest| rest.splitn(4, ':').nth(3));
        let mutation = mutation.with_context(|| format!("the name of a mutant: {}", self.name))?;
        Ok(format!("{}: {}", self.file, mutation.trim_start()))
    }
}

#[derive(Deserialize)]
struct Outcomes {
    outcomes: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    /// `"Baseline"`, or an object with the mutant.
    scenario: Value,
    summary: String,
}

/// What came of each mutant, by cargo-mutants' `outcomes.json`.
pub(super) fn outcomes(text: &str) -> Result<Vec<(String, Fate)>> {
    let Outcomes { outcomes } = serde_json::from_str(text)?;
    let mutants = outcomes.into_iter().filter(|outcome| outcome.scenario.is_object());
    mutants
        .map(|outcome| {
            let mutant: Mutant = serde_json::from_value(outcome.scenario["Mutant"].clone())?;
            let fate = match outcome.summary.as_str() {
                "CaughtMutant" | "Timeout" => Fate::Caught,
                "MissedMutant" => Fate::Survived,
                "Unviable" => Fate::Unviable,
                other => bail!("{}: {other}", mutant.name),
            };
            Ok((mutant.key()?, fate))
        })
        .collect()
}
