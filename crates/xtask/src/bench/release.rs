//! The released programs of a source tree, which need not be this one, nor as new.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cargo;

/// The allocator of production, as in the image. Before it was a feature it was always there.
const ALLOCATOR: &str = "jemalloc";

/// A source tree, as cargo describes it.
pub(super) struct Release {
    tree: PathBuf,
    metadata: Value,
    target: Option<PathBuf>,
}

impl Release {
    /// The workspace of this folder.
    pub(super) fn of(tree: &Path) -> Result<Self> {
        let mut command = cargo::command();
        command.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(tree);
        let metadata = serde_json::from_slice(&output(&mut command)?).context("cargo metadata")?;
        Ok(Self { tree: tree.to_owned(), metadata, target: None })
    }

    /// Builds into the target directory of `other`, so that what both depend on is built once. Their own programs are of the
    /// same names there: each must be copied before the other is built.
    pub(super) fn sharing_target(self, other: &Self) -> Result<Self> {
        let target = other.metadata["target_directory"].as_str().context("no target_directory")?;
        Ok(Self { target: Some(target.into()), ..self })
    }

    /// The target directory.
    pub(super) fn target_directory(&self) -> Result<PathBuf> {
        Ok(self.metadata["target_directory"].as_str().context("no target_directory")?.into())
    }

    /// Builds these programs, given with their packages; their paths, in the same order.
    pub(super) fn build(&self, programs: &[(&str, &str)]) -> Result<Vec<PathBuf>> {
        let mut command = cargo::command();
        command.args(["build", "--release", "--message-format", "json-render-diagnostics"]);
        command.current_dir(&self.tree).stderr(Stdio::inherit());
        for (package, _) in programs {
            command.args(["--package", package]);
        }
        let features = allocator(&self.metadata, programs);
        if !features.is_empty() {
            command.args(["--features", &features.join(",")]);
        }
        if let Some(target) = &self.target {
            command.env("CARGO_TARGET_DIR", target);
        }
        let messages = String::from_utf8(output(&mut command)?).context("cargo build")?;
        let built =
            |program: &str| executable(&messages, program).with_context(|| format!("no {program} was built"));
        programs.iter().map(|(_, program)| built(program)).collect()
    }
}

/// The features that turn the allocator on, of those packages that have one.
fn allocator(metadata: &Value, programs: &[(&str, &str)]) -> Vec<String> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let has = |name: &str| {
        packages.iter().any(|package| package["name"] == name && !package["features"][ALLOCATOR].is_null())
    };
    let packages = programs.iter().map(|(package, _)| *package).filter(|package| has(package));
    packages.map(|package| format!("{package}/{ALLOCATOR}")).collect()
}

/// Where cargo says that it has put a program.
fn executable(messages: &str, program: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut of_program = messages.filter(|message| message["target"]["name"] == program);
    of_program.find_map(|message| Some(message["executable"].as_str()?.into()))
}

/// What a command prints, if it succeeds.
pub(super) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let named = format!("{command:?}");
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("{named} cannot be run"))?;
    ensure!(output.status.success(), "{named} ({})", output.status);
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_allocator_is_turned_on_where_it_is_a_feature() {
        let metadata = json!({"packages": [
            {"name": "ingress", "features": {"jemalloc": ["dep:tikv-jemallocator"]}},
            {"name": "order-service", "features": {"failpoints": []}},
            {"name": "operator", "features": {}},
        ]});
        let programs = [("ingress", "ingress"), ("order-service", "order-service"), ("operator", "payrelay")];
        assert_eq!(allocator(&metadata, &programs), ["ingress/jemalloc"]);
        assert!(allocator(&json!({"packages": []}), &programs).is_empty());
    }

    #[test]
    fn programs_are_where_cargo_says_and_libraries_are_none() {
        let messages = [
            json!({"reason": "compiler-artifact", "target": {"name": "ingress"}, "executable": null}),
            json!({"reason": "compiler-artifact", "target": {"name": "ingress"}, "executable": "/t/ingress"}),
            json!({"reason": "build-finished", "success": true}),
        ]
        .map(|message| message.to_string())
        .join("\n");
        assert_eq!(executable(&messages, "ingress"), Some("/t/ingress".into()));
        assert_eq!(executable(&messages, "payrelay"), None);
    }
}
