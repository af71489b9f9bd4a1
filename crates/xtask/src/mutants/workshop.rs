//! A copy of the workspace in which code may be made wrong.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{cargo, tree};

/// The copy, and what is built of it and written about it.
pub(super) struct Workshop {
    /// The copy.
    pub(super) tree: PathBuf,
    /// What the tests wrote.
    pub(super) logs: PathBuf,
    target: PathBuf,
    /// The servers of the tests.
    environment: [(&'static str, String); 3],
}

impl Workshop {
    /// Makes the copy the same as the workspace. Files that are the same already stay as they are, so that cargo builds no more than
    /// what has changed since the last run; what an interrupted run has left wrong is set right.
    pub(super) fn open(root: &Path, environment: [(&'static str, String); 3]) -> Result<Self> {
        let folder =
            cargo::programs()?.parent().context("the programs' folder has no parent")?.join("mutants");
        let [tree, logs, target] = ["tree", "logs", "target"].map(|name| folder.join(name));
        let files = tree::files(root)?;
        for file in &files {
            tree::copy(&root.join(file), &tree.join(file))?;
        }
        remove_others(&tree, &tree, &files)?;
        // Else cargo would take the workspace around it for the one that is meant.
        ensure!(tree.join("Cargo.toml").is_file(), "{} holds no workspace", tree.display());
        if logs.exists() {
            fs::remove_dir_all(&logs).with_context(|| format!("removing {}", logs.display()))?;
        }
        fs::create_dir_all(&logs).with_context(|| format!("creating {}", logs.display()))?;
        Ok(Self { tree, logs, target, environment })
    }

    /// A program that works in the copy: built without what only debuggers read, and no more of a crate than has changed. Properties
    /// are tried by fewer cases: the tests run a thousand times, and what is wrong for most inputs shows soon.
    pub(super) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.tree).stdin(Stdio::null());
        command
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_INCREMENTAL", "1")
            .env("PROPTEST_CASES", "32");
        command.envs(self.environment.clone());
        command
    }
}

fn remove_others(folder: &Path, tree: &Path, files: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, tree, files)?;
        } else if !files.contains(path.strip_prefix(tree)?) {
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}
