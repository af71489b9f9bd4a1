//! Tells `payrelay` its version, with the commit that it is built from where that is known.

use std::env;
use std::path::Path;
use std::process::Command;

/// Names the commit where there is no repository, as in the build of the image.
const COMMIT_VARIABLE: &str = "PAYRELAY_COMMIT";
/// Where this package lies in the repository.
const OWN_FOLDER: &str = "crates/operator/";
/// Digits of a commit that are shown.
const SHOWN_DIGITS: usize = 12;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={COMMIT_VARIABLE}");
    // They change with each commit and each checkout. Cargo would run this script every time for a file that is missing.
    for name in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", name]);
        if let Some(path) = path.filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    let given = env::var(COMMIT_VARIABLE).ok().filter(|commit| !commit.is_empty());
    let version = match given.or_else(commit) {
        Some(commit) => format!("{version} ({})", commit.chars().take(SHOWN_DIGITS).collect::<String>()),
        None => version.to_owned(),
    };
    println!("cargo::rustc-env=VERSION_AND_COMMIT={version}");
}

/// The commit of the repository; none if the sources lie in another one, as unpacked from an archive.
fn commit() -> Option<String> {
    let told = git(&["rev-parse", "--show-prefix", "HEAD"])?;
    let (folder, commit) = told.split_once('\n')?;
    (folder == OWN_FOLDER).then(|| commit.to_owned())
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}
