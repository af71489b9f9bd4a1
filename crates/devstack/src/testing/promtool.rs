//! `promtool`, which checks and tests the rules of Prometheus.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::skip::skip;
use super::tools::{finish, folder};

/// What holds it: a package of its own in newer releases of Debian, before that Prometheus's.
const PACKAGES: [&str; 2] = ["promtool", "prometheus"];

/// The installed `promtool`, else the one of the distribution's package, unpacked into the target directory. `None` after a message
/// that the test is skipped, and why.
///
/// # Panics
/// With `CI=true`, where it is not to be had.
pub fn promtool() -> Option<PathBuf> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOUND.get_or_init(find) {
        Ok(program) => Some(program.clone()),
        Err(reason) => {
            skip(&format!("no promtool: {reason}"));
            None
        }
    }
}

fn find() -> Result<PathBuf, String> {
    let installed = PathBuf::from("promtool");
    if Command::new(&installed).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok(installed);
    }
    let program = folder("promtool", unpack)?.join("usr/bin/promtool");
    if program.is_file() { Ok(program) } else { Err(format!("{} is missing", program.display())) }
}

fn unpack(folder: &Path) -> Result<(), String> {
    let mut reasons = Vec::new();
    for package in PACKAGES {
        // The shell names the file that was downloaded; a version has no place in its name that is known beforehand.
        let script = r#"rm -f ./*.deb && apt-get download "$1" && dpkg -x ./*.deb . && rm ./*.deb && test -x usr/bin/promtool"#;
        let mut command = Command::new("sh");
        match finish(command.args(["-c", script, "sh", package]).current_dir(folder), folder) {
            Ok(()) => return Ok(()),
            Err(reason) => reasons.push(reason),
        }
    }
    Err(reasons.join("\n"))
}
