//! Python and Node with the packages that an example needs, for tests that run it.
//!
//! Packages are installed once, into a folder of the target directory, from wherever `pip` and `npm` are told to take them. Where there is no
//! interpreter, or no package to be had, a test is skipped, and says so on the terminal.

use std::collections::HashMap;
use std::env;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// For installing all packages of one manifest.
const INSTALL_LIMIT: Duration = Duration::from_secs(300);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Present in a folder whose packages are all there.
const COMPLETE: &str = "complete";
/// How much of what an installer wrote says why it failed.
const REASON_LINES: usize = 12;

/// What has been prepared, or why it cannot be, by manifest: nothing is tried twice in a process.
static PREPARED: Mutex<Option<HashMap<PathBuf, Result<Interpreter, String>>>> = Mutex::new(None);

/// An interpreter with packages.
#[derive(Debug, Clone)]
pub struct Interpreter {
    language: Language,
    folder: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Python,
    Node,
}

/// `python3` with the packages of this `requirements.txt`; `None` after a message that the test is skipped, and why.
pub fn python(requirements: &Path) -> Option<Interpreter> {
    prepared(Language::Python, requirements)
}

/// `node` with the packages of this `package.json`; `None` after a message that the test is skipped, and why.
pub fn node(package: &Path) -> Option<Interpreter> {
    prepared(Language::Node, package)
}

impl Interpreter {
    /// A command that runs this script.
    ///
    /// # Panics
    /// When the script cannot be read.
    pub fn script(&self, script: &Path) -> Command {
        match self.language {
            Language::Python => self.run([script]),
            // Node looks for packages beside the script and in the folders above it, and nowhere else.
            Language::Node => {
                let name = script.file_name().unwrap_or_default();
                let (copy, own) =
                    (self.folder.join(name), self.folder.join(format!("{}.new", process::id())));
                let copied = fs::copy(script, &own).and_then(|_| fs::rename(&own, &copy));
                copied.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
                self.run([&copy])
            }
        }
    }

    /// The interpreter with arguments.
    pub fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Command {
        let mut command = match self.language {
            Language::Python => Command::new(self.folder.join("bin/python")),
            Language::Node => Command::new("node"),
        };
        command.args(arguments).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
        command
    }
}

fn prepared(language: Language, manifest: &Path) -> Option<Interpreter> {
    let mut prepared = PREPARED.lock().unwrap_or_else(PoisonError::into_inner);
    let known = prepared.get_or_insert_default().entry(manifest.to_owned());
    match known.or_insert_with(|| prepare(language, manifest)) {
        Ok(interpreter) => Some(interpreter.clone()),
        Err(reason) => {
            let test = thread::current().name().unwrap_or("a test").to_owned();
            // Not by `eprintln!`, which is shown for tests that fail only.
            let _ = writeln!(
                io::stderr(),
                "SKIPPED {test}: no {language:?} with {}: {reason}",
                manifest.display()
            );
            None
        }
    }
}

fn prepare(language: Language, manifest: &Path) -> Result<Interpreter, String> {
    let packages = fs::read(manifest).map_err(|error| error.to_string())?;
    let mut hasher = DefaultHasher::new();
    packages.hash(&mut hasher);
    let all = target()?.join("interpreters");
    let folder = all.join(format!("{language:?}-{:016x}", hasher.finish()).to_lowercase());
    fs::create_dir_all(&all).map_err(|error| error.to_string())?;
    // Another test program may be about to do the same.
    let lock = File::create(folder.with_extension("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if !folder.join(COMPLETE).is_file() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).map_err(|error| error.to_string())?;
        install(language, manifest, &folder)?;
        fs::write(folder.join(COMPLETE), "").map_err(|error| error.to_string())?;
    }
    Ok(Interpreter { language, folder })
}

fn install(language: Language, manifest: &Path, folder: &Path) -> Result<(), String> {
    match language {
        Language::Python => {
            finish(Command::new("python3").args(["-m", "venv"]).arg(folder), folder)?;
            let mut pip = Command::new(folder.join("bin/python"));
            pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--retries=1", "--timeout=30"]);
            finish(pip.arg("--requirement").arg(manifest), folder)
        }
        Language::Node => {
            fs::copy(manifest, folder.join("package.json")).map_err(|error| error.to_string())?;
            let mut npm = Command::new("npm");
            npm.args(["install", "--ignore-scripts", "--engine-strict", "--no-audit", "--no-fund"]);
            npm.args(["--no-package-lock", "--fetch-retries=1", "--fetch-timeout=30000"]);
            finish(npm.current_dir(folder), folder)
        }
    }
}

/// Runs a command to its end; the error is the end of what it wrote.
fn finish(command: &mut Command, folder: &Path) -> Result<(), String> {
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
