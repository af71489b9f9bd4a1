//! A program under test as a child process.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::until;

/// What of a log is shown when a test fails.
const LOG_TAIL_LINES: usize = 40;

/// A running program. Killed when dropped, and when this process dies in whatever way; if a test is failing then, the end of
/// its log is shown.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Waits on a pipe that only this process holds open, then kills the child.
    watchdog: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; both its output streams are appended to `log`.
    pub fn spawn(command: &mut Command, log: &Path) -> Self {
        let output = OpenOptions::new().create(true).append(true).open(log).expect("a log file");
        let errors = output.try_clone().expect("a second handle of the log");
        Self::watch(command.stdin(Stdio::null()).stdout(output).stderr(errors), log)
    }

    /// Starts `command` with its output streams as they are set.
    pub fn watch(command: &mut Command, log: &Path) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", "cat; kill -s KILL \"$1\" 2>/dev/null", "sh", &child.id().to_string()]);
        let watchdog = watchdog.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a shell");
        Self { child, watchdog, log: log.to_owned() }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The program's own handle, for its output streams.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        let (child, what) = (&mut self.child, format!("end of the process of {}", self.log.display()));
        until(&what, async || child.try_wait().expect("a child").ok_or_else(|| "it runs".to_owned())).await
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // In this order: the watchdog must not kill a stranger who was given the same process id.
        let _ = self.watchdog.kill().and_then(|()| self.watchdog.wait());
        let _ = self.child.kill().and_then(|()| self.child.wait());
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n");
            let _ = writeln!(io::stderr(), "---- end of {} ----\n{tail}", self.log.display());
        }
    }
}

/// Sends a signal, named without `SIG`.
pub fn signal(pid: u32, signal: &str) {
    let sent =
        Command::new("sh").args(["-c", r#"kill -s "$1" "$2""#, "sh", signal, &pid.to_string()]).status();
    assert!(sent.expect("a shell").success(), "{signal} could not be sent to {pid}");
}

/// Whether a process of this id exists; a zombie does.
pub fn is_alive(pid: u32) -> bool {
    let asked =
        Command::new("sh").args(["-c", r#"kill -s 0 "$1" 2>/dev/null"#, "sh", &pid.to_string()]).status();
    asked.expect("a shell").success()
}
