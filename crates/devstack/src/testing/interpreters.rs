//! Python and Node with the packages that an example needs, for tests that run it.
//!
//! Packages are installed once, into a folder of the target directory, from wherever `pip` and `npm` are told to take them. Where there is no
//! interpreter, or no package to be had, a test is skipped, and says so on the terminal.

use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::{Mutex, PoisonError};

use super::skip::skip;
use super::tools::{finish, folder};

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
///
/// # Panics
/// With `CI=true`, where it is not to be had.
pub fn python(requirements: &Path) -> Option<Interpreter> {
    prepared(Language::Python, requirements)
}

/// `node` with the packages of this `package.json`; `None` after a message that the test is skipped, and why.
///
/// # Panics
/// With `CI=true`, where it is not to be had.
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

    /// A command that runs a program of one of the packages.
    pub fn program(&self, name: &str) -> Command {
        match self.language {
            Language::Python => self.run([self.folder.join("bin").join(name)]),
            Language::Node => self.run([self.folder.join("node_modules/.bin").join(name)]),
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
            skip(&format!("no {language:?} with {}: {reason}", manifest.display()));
            None
        }
    }
}

fn prepare(language: Language, manifest: &Path) -> Result<Interpreter, String> {
    let packages = fs::read(manifest).map_err(|error| error.to_string())?;
    let mut hasher = DefaultHasher::new();
    packages.hash(&mut hasher);
    let name = format!("{language:?}-{:016x}", hasher.finish()).to_lowercase();
    let folder = folder(&name, |folder| install(language, manifest, folder))?;
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
