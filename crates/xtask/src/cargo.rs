//! Cargo and the programs it builds.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

/// What `cargo run` tells this program of itself in the environment, by how the names begin.
const OWN_DESCRIPTION: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// The cargo that runs this task.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Build scripts that read these names (that of `ring`) would run again, and all that depends on them would be compiled again,
    // each time somebody calls cargo by itself in between.
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| OWN_DESCRIPTION.iter().any(|prefix| name.starts_with(prefix))) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs cargo and fails where it fails; its own output says why.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let status = command().args(arguments).status().context("cargo cannot be run")?;
    ensure!(status.success(), "cargo {} ({status})", arguments.join(" "));
    Ok(())
}

/// The folder of the workspace, from which this program was built.
pub(crate) fn workspace() -> Result<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(package.ancestors().nth(2).context("this program's own package is in no workspace")?.to_owned())
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

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn cargo_is_not_told_of_this_program() {
        // `cargo test` describes the program in the same way.
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
        let command = command();
        let is_removed =
            |wanted: &str| command.get_envs().any(|(name, value)| name == wanted && value.is_none());
        assert!(is_removed("CARGO_PKG_NAME") && is_removed("CARGO_MANIFEST_DIR"));
        assert!(!is_removed("PATH"));
    }
}
