//! Cargo and the programs it builds.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

/// The cargo that runs this task.
pub(crate) fn command() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs cargo and fails where it fails; its own output says why.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let status = command().args(arguments).status().context("cargo cannot be run")?;
    ensure!(status.success(), "cargo {} ({status})", arguments.join(" "));
    Ok(())
}

/// The folder of the built programs: this one has been built into it, too.
pub(crate) fn programs() -> Result<PathBuf> {
    let program = env::current_exe().context("this program's own path is unknown")?;
    Ok(program.parent().context("this program's own path has no folder")?.to_owned())
}

/// Replaces this process by one of the built programs, so that signals and its exit code are its own.
pub(crate) fn become_program(name: &str, subcommand: &str, arguments: &[String]) -> Result<ExitCode> {
    become_in(&programs()?, name, &[&[subcommand.to_owned()], arguments].concat())
}

/// The same with a program of that folder.
pub(crate) fn become_in(folder: &Path, name: &str, arguments: &[String]) -> Result<ExitCode> {
    let program = folder.join(name);
    let error = Command::new(&program).args(arguments).exec();
    bail!("{} cannot be run: {error}", program.display());
}
