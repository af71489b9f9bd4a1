//! A copy of the workspace in which code may be made wrong.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::cargo;

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
        let files = files(root)?;
        for file in &files {
            copy(&root.join(file), &tree.join(file))?;
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

/// All files of the workspace that git knows, or would take.
fn files(root: &Path) -> Result<BTreeSet<PathBuf>> {
    let listed = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .context("git cannot be run")?;
    ensure!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr).trim());
    let names = String::from_utf8(listed.stdout).context("the names of files are no UTF-8")?;
    // What was removed and not committed is still listed.
    let there = names.split_terminator('\0').map(PathBuf::from).filter(|file| root.join(file).is_file());
    Ok(there.collect())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let content = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    if fs::read(to).is_ok_and(|copied| copied == content) {
        return Ok(());
    }
    let folder = to.parent().context("a file has no folder")?;
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    fs::copy(from, to).with_context(|| format!("copying to {}", to.display()))?;
    Ok(())
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
