//! Runs the commands of a page as its reader would: in one shell, from the top to the bottom, in a copy of the workspace.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::progress;
use crate::page::{Block, Page};
use crate::words::Finding;
use crate::{cargo, tree};

/// How long all commands of a page may take.
const PAGE_LIMIT: Duration = Duration::from_secs(300);
/// How long what a page has started may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Lines of output that are shown of a page that fails.
const SHOWN_LINES: usize = 40;

/// Holds the search path of this task, for what is started by a name that a page has another program for.
const OUTER_PATH_VARIABLE: &str = "DOCS_OUTER_PATH";

/// Where pages run.
pub(super) struct Workshop {
    root: PathBuf,
    files: BTreeSet<PathBuf>,
    programs: PathBuf,
    folder: PathBuf,
    limit: Duration,
}

/// What became of the commands of one page.
#[derive(Debug, Default)]
pub(super) struct PageOutcome {
    /// Blocks that ran to their end.
    pub(super) run: usize,
    pub(super) failure: Option<Finding>,
}

impl Workshop {
    pub(super) fn new(root: &Path) -> Result<Self> {
        let programs = cargo::programs()?;
        let folder = programs.parent().context("the programs' folder has no parent")?.join("docs");
        Ok(Self { root: root.to_owned(), files: tree::files(root)?, programs, folder, limit: PAGE_LIMIT })
    }

    /// The same with little in it, for tests.
    #[cfg(test)]
    pub(super) fn small(folder: &Path, limit: Duration) -> Self {
        let (root, folder) = (folder.join("root"), folder.join("docs"));
        Self { programs: root.clone(), root, files: BTreeSet::new(), folder, limit }
    }

    /// Runs the commands of a page. The error is that nothing could be run.
    pub(super) fn run(&self, page: &Page) -> Result<PageOutcome> {
        let blocks: Vec<_> = page.blocks.iter().filter(|block| block.not_run.is_none()).collect();
        if blocks.is_empty() {
            return Ok(PageOutcome::default());
        }
        let name = page.path.display();
        progress(&format!("{name}: {} commands", blocks.len()));
        let started = Instant::now();
        let place = self.prepare(page, &blocks)?;
        let mut shell = self.shell(&place)?;
        let ended = wait(&mut shell, self.limit)?;
        stop_group(&mut shell)?;
        if ended.is_some_and(|status| status.success()) {
            progress(&format!("{name}: done in {} s", started.elapsed().as_secs()));
            return Ok(PageOutcome { run: blocks.len(), failure: None });
        }
        let why = match ended {
            Some(status) => format!("the block fails ({status})"),
            None => format!("the page takes longer than {} s, and is in this block", self.limit.as_secs()),
        };
        let line =
            fs::read_to_string(&place.step).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1);
        let shown = show_end(&place.log);
        progress(&format!("{name}:{line}: {why}; the end of {}:\n{shown}", place.log.display()));
        let run = blocks.iter().filter(|block| block.line < line).count();
        Ok(PageOutcome { run, failure: Some(Finding { path: page.path.clone(), line, what: why }) })
    }

    /// Makes a fresh copy of the workspace and the script.
    fn prepare(&self, page: &Page, blocks: &[&Block]) -> Result<Place> {
        let folder = self.folder.join(page.path.with_extension("").to_string_lossy().replace('/', "-"));
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        let at = |name: &str| folder.join(name);
        let place = Place {
            tree: at("tree"),
            bin: at("bin"),
            script: at("commands.sh"),
            step: at("step"),
            log: at("log"),
        };
        for folder in [&place.tree, &place.bin] {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        for file in &self.files {
            tree::copy(&self.root.join(file), &place.tree.join(file))?;
        }
        // Cargo works in the workspace itself, where all is built already. By the outer path, for this script is named `cargo`, too.
        let cargo = format!(
            "#!/bin/sh\nexport PATH=\"${OUTER_PATH_VARIABLE}\"\ncd '{}' && exec \"$CARGO\" \"$@\"\n",
            self.root.display()
        );
        fs::write(place.bin.join("cargo"), cargo)?;
        fs::set_permissions(place.bin.join("cargo"), fs::Permissions::from_mode(0o755))?;
        fs::write(&place.script, script(blocks, &place.step))?;
        Ok(place)
    }

    fn shell(&self, place: &Place) -> Result<Child> {
        let log = File::create(&place.log).with_context(|| format!("creating {}", place.log.display()))?;
        let outer = env::var_os("PATH").unwrap_or_default();
        let folders = [place.bin.clone(), self.programs.clone()].into_iter().chain(env::split_paths(&outer));
        let path: OsString = env::join_paths(folders).context("a folder of programs cannot stand in PATH")?;
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail"]).arg(&place.script).current_dir(&place.tree);
        for (name, _) in cargo::command().get_envs() {
            shell.env_remove(name);
        }
        shell
            .env("PATH", path)
            .env(OUTER_PATH_VARIABLE, outer)
            .env("CARGO", cargo::command().get_program())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        shell.spawn().context("bash cannot be run")
    }
}

/// The files of a page that runs.
struct Place {
    tree: PathBuf,
    /// Before all else on the search path.
    bin: PathBuf,
    script: PathBuf,
    /// Holds the line of the block that is running.
    step: PathBuf,
    log: PathBuf,
}

/// The blocks, and the end of what they leave running.
fn script(blocks: &[&Block], step: &Path) -> String {
    let mut script =
        "trap 'for job in $(jobs -p); do kill \"$job\" || true; done; wait || true' EXIT\n".to_owned();
    for Block { line, commands, .. } in blocks {
        writeln!(script, "echo {line} >'{}'\n{commands}", step.display()).expect("a String takes all");
    }
    script
}

/// How the shell ended; `None` if it has not.
fn wait(shell: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let started = Instant::now();
    while started.elapsed() < limit {
        if let Some(status) = shell.try_wait().context("waiting for the commands")? {
            return Ok(Some(status));
        }
        thread::sleep(POLL_INTERVAL);
    }
    Ok(None)
}

/// Ends the shell, and what it has not ended of its own processes.
fn stop_group(shell: &mut Child) -> Result<()> {
    let group = shell.id();
    signal("TERM", group)?;
    let started = Instant::now();
    while started.elapsed() < STOP_LIMIT {
        let has_ended = shell.try_wait().context("waiting for the commands")?.is_some();
        if has_ended && !signal("0", group)? {
            return Ok(());
        }
        thread::sleep(POLL_INTERVAL);
    }
    signal("KILL", group)?;
    shell.wait().context("waiting for the commands")?;
    Ok(())
}

/// Sends a signal to a group of processes; returns whether there is any.
fn signal(name: &str, group: u32) -> Result<bool> {
    // The shell's own `kill`: std can only send SIGKILL, and to one process.
    let mut kill = Command::new("sh");
    kill.args(["-c", r#"kill -s "$1" -- "-$2" 2>/dev/null"#, "sh", name, &group.to_string()]);
    Ok(kill.status().context("sh cannot be run")?.success())
}

/// The last lines of a log.
fn show_end(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}
