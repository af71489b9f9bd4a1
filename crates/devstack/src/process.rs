//! One server process: started so that it cannot escape the watchdog, awaited by polling, stopped by signal.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;
use crate::root::{User, run_as};
use crate::watchdog::Watchdog;

const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How long a server may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(30);
const LOG_TAIL_LINES: usize = 30;

/// How a server is run; the same for its first start and each restart.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) server: &'static str,
    /// Receives both output streams, appended.
    pub(crate) log: PathBuf,
    /// Signal by which the server goes down at once, as for the end of the stack.
    pub(crate) quit_signal: &'static str,
}

/// A running server process. Dropping it stops it at once.
#[derive(Debug)]
pub(crate) struct Process {
    program: Arc<Program>,
    child: Child,
    watchdog: Arc<Watchdog>,
}

impl Process {
    /// Starts `command`. The shell in front waits until the watchdog knows the process id, and ends if its starter dies
    /// before that; then it becomes the server, under the same process id.
    pub(crate) fn start(
        program: &Arc<Program>,
        command: &Command,
        watchdog: &Arc<Watchdog>,
        user: Option<User>,
    ) -> Result<Self, Error> {
        let step = || format!("starting {}", program.server);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&program.log)
            .map_err(Error::io(format!("opening {}", program.log.display())))?;
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"read -r go && exec "$@" </dev/null"#, "sh"]);
        shell.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        run_as(&mut shell, user);
        let errors = log.try_clone().map_err(Error::io(step()))?;
        shell.current_dir("/").stdin(Stdio::piped()).stdout(log).stderr(errors).process_group(0);
        let child = shell.spawn().map_err(Error::io(step()))?;
        let mut process = Self { program: Arc::clone(program), child, watchdog: Arc::clone(watchdog) };
        watchdog.adopt(process.pid(), program.quit_signal)?;
        if let Some(mut stdin) = process.child.stdin.take() {
            stdin.write_all(b"go\n").map_err(Error::io(step()))?;
        }
        Ok(process)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Polls until `ready` says yes.
    ///
    /// # Errors
    /// [`Error::NotReady`] when the server has ended or `limit` has passed.
    pub(crate) fn wait_ready(&mut self, limit: Duration, ready: impl Fn() -> bool) -> Result<(), Error> {
        let deadline = Instant::now() + limit;
        while !ready() {
            if let Some(status) = self.child.try_wait().map_err(Error::io("waiting for a server"))? {
                return Err(self.not_ready(format!("ended at its start ({status})")));
            }
            if Instant::now() > deadline {
                return Err(self.not_ready(format!("was not ready within {} s", limit.as_secs())));
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Sends `signal` (a name without `SIG`), waits, and kills what has not ended within the limit.
    pub(crate) fn end(&mut self, signal: &str) -> Result<(), Error> {
        let deadline = Instant::now() + STOP_LIMIT;
        let failed = || format!("stopping {}", self.program.server);
        if self.child.try_wait().map_err(Error::io(failed()))?.is_none() {
            // The shell's own `kill`: no minimal system lacks it, and std can only send SIGKILL. CONT, because a frozen
            // process heeds no other signal.
            Command::new("sh")
                .args([
                    "-c",
                    r#"kill -s "$1" "$2"; kill -s CONT "$2""#,
                    "sh",
                    signal,
                    &self.pid().to_string(),
                ])
                .status()
                .map_err(Error::io(failed()))?;
        }
        while self.child.try_wait().map_err(Error::io(failed()))?.is_none() {
            if Instant::now() > deadline {
                self.child.kill().map_err(Error::io(failed()))?;
            }
            thread::sleep(POLL_INTERVAL);
        }
        self.watchdog.forget(self.pid())
    }

    fn not_ready(&self, problem: String) -> Error {
        Error::NotReady { server: self.program.server, problem, log: tail(&self.program.log) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A failure leaves it to the watchdog.
        let _ = self.end(self.program.quit_signal);
    }
}

fn tail(log: &PathBuf) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}

/// Runs a short-lived command to its end and returns its standard output.
///
/// # Errors
/// [`Error::Failed`] with what the command wrote when it cannot be run or exits with another code than 0.
pub(crate) fn run(command: &mut Command, step: &str) -> Result<String, Error> {
    let output = command.stdin(Stdio::null()).output().map_err(Error::io(step))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(Error::failed(step, format!("{}: {}{stdout}", output.status, stderr)))
}
