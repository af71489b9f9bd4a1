//! Programs of others that tasks need, installed by cargo apart from the user's own.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::cargo;

/// Where CI keeps its tools; without it, in the user's cache.
const FOLDER_VARIABLE: &str = "PAYRELAY_CI_TOOLS";

/// A program from crates.io, in the version that is relied on.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// What `cargo install` is told beside the name and the version.
    pub(crate) options: &'static [&'static str],
}

impl Tool {
    /// Installs the program where it is missing, and returns its path. It is built without optimisation: building takes longer than
    /// its runs.
    pub(crate) fn install(&self, progress: impl Fn(&str)) -> Result<PathBuf> {
        let folder = folder()?;
        progress(&format!("{} {}, in {}", self.name, self.version, folder.display()));
        let installed = cargo::command()
            .args(["install", "--quiet", "--locked", "--debug", "--version", self.version])
            .args(self.options)
            .args([self.name, "--root"])
            .arg(&folder)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .status()
            .context("cargo cannot be run")?;
        ensure!(installed.success(), "{} could not be installed ({installed})", self.name);
        Ok(folder.join("bin").join(self.name))
    }
}

fn folder() -> Result<PathBuf> {
    if let Some(folder) = env::var_os(FOLDER_VARIABLE) {
        return Ok(PathBuf::from(folder));
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| env::home_dir().map(|home| home.join(".cache")));
    Ok(cache.context("there is no home folder for tools")?.join("payrelay-ci"))
}
