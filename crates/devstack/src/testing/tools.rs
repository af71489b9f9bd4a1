//! What tests install for themselves, once, into folders of the target directory.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// For installing one thing.
const INSTALL_LIMIT: Duration = Duration::from_secs(300);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Present in a folder in which all is there.
const COMPLETE: &str = "complete";
/// How much of what an installer wrote says why it failed.
const REASON_LINES: usize = 12;

/// The folder of this name, filled by `install` unless it has been before.
pub(super) fn folder(
    name: &str,
    install: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let all = target()?.join("interpreters");
    let folder = all.join(name);
    fs::create_dir_all(&all).map_err(|error| error.to_string())?;
    // Another test program may be about to do the same.
    let lock = File::create(folder.with_extension("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if !folder.join(COMPLETE).is_file() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).map_err(|error| error.to_string())?;
        install(&folder)?;
        fs::write(folder.join(COMPLETE), "").map_err(|error| error.to_string())?;
    }
    Ok(folder)
}

/// Runs a command to its end; the error is the end of what it wrote.
pub(super) fn finish(command: &mut Command, folder: &Path) -> Result<(), String> {
    let log = folder.join("install.log");
    let output = File::create(&log).map_err(|error| error.to_string())?;
    let errors = output.try_clone().map_err(|error| error.to_string())?;
    let program = command.get_program().display().to_string();
    let spawned = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
    let mut child = spawned.map_err(|error| format!("{program}: {error}"))?;
    let deadline = Instant::now() + INSTALL_LIMIT;
    loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                let log = fs::read_to_string(&log).unwrap_or_default();
                let lines: Vec<_> = log.lines().filter(|line| !line.trim().is_empty()).collect();
                let end = lines[lines.len().saturating_sub(REASON_LINES)..].join("\n  ");
                return Err(format!("{program} ended with {status}:\n  {end}"));
            }
            None if Instant::now() > deadline => {
                let _ = child.kill().and_then(|()| child.wait());
                return Err(format!("{program} took more than {} s", INSTALL_LIMIT.as_secs()));
            }
            None => thread::sleep(POLL_INTERVAL),
        }
    }
}

/// The target directory: test programs lie in its folder `{profile}/deps`.
fn target() -> Result<PathBuf, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    program.ancestors().nth(3).map(Path::to_owned).ok_or_else(|| "no target directory".to_owned())
}
