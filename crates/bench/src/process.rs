//! Programs of the workspace as child processes.

use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Client;
use tokio::time::sleep;

const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long a state may take to come about.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// For a service to drain after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A running program. Killed when dropped, and when this process dies in whatever way.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    /// Waits on a pipe that only this process holds open, then kills the child.
    watchdog: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, called `name` in messages; both its output streams go to `log`.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let output = File::create(log).with_context(|| log.display().to_string())?;
        let errors = output.try_clone()?;
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
        let child = child.with_context(|| format!("{name} cannot be run"))?;
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", "cat; kill -s KILL \"$1\" 2>/dev/null", "sh", &child.id().to_string()]);
        let watchdog = watchdog.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().context("sh")?;
        Ok(Self { name: name.to_owned(), child, watchdog, log: log.to_owned() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `GET {admin_url}/readyz` is answered with 200.
    pub(crate) async fn ready(&mut self, http: &Client, admin_url: &str) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let answer = http.get(format!("{admin_url}/readyz")).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}): {}", self.name, self.log_tail());
            }
            ensure!(Instant::now() < deadline, "{} is not ready: {}", self.name, self.log_tail());
            sleep(POLL_INTERVAL).await;
        }
    }

    /// SIGTERM, and waits for its end, which must be a good one.
    pub(crate) async fn stop(mut self) -> Result<()> {
        signal(self.pid(), "TERM")?;
        let deadline = Instant::now() + STOP_LIMIT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "{} stopped with {status}: {}", self.name, self.log_tail());
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{} does not stop", self.name);
            sleep(POLL_INTERVAL).await;
        }
    }

    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // In this order: the watchdog must not kill a stranger who was given the same process id.
        let _ = self.watchdog.kill().and_then(|()| self.watchdog.wait());
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// The folder that programs are taken from.
#[derive(Debug, Clone)]
pub(crate) struct Programs(PathBuf);

impl Programs {
    /// Those that were built together with this one.
    pub(crate) fn own() -> Result<Self> {
        let own = env::current_exe().context("this program's own path is unknown")?;
        Ok(Self(own.parent().context("this program's own path has no folder")?.to_owned()))
    }

    /// Those of another folder.
    pub(crate) fn of(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// The path of one of them.
    pub(crate) fn path(&self, name: &str) -> Result<PathBuf> {
        let program = self.0.join(name);
        ensure!(program.is_file(), "{} is missing: run `cargo xtask bench`", program.display());
        Ok(program)
    }
}

/// The path of a program that was built together with this one.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    Programs::own()?.path(name)
}

/// Sends a signal, named without `SIG`.
pub(crate) fn signal(pid: u32, signal: &str) -> Result<()> {
    let sent =
        Command::new("sh").args(["-c", r#"kill -s "$1" "$2""#, "sh", signal, &pid.to_string()]).status();
    ensure!(sent.context("sh")?.success(), "{signal} could not be sent to {pid}");
    Ok(())
}

/// Looks until `look` is content, at most `limit` long. It says in its answer what it saw instead.
pub(crate) async fn until(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<Result<(), String>>,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        let Err(seen) = look().await? else { return Ok(()) };
        ensure!(Instant::now() < deadline, "no {what} within {limit:?}; at last: {seen}");
        sleep(POLL_INTERVAL).await;
    }
}
