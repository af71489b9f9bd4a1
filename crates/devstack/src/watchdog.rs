//! The shell process that outlives the owner of a stack just long enough to clean up after it.

use std::env;
use std::fs::{self, DirBuilder};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Error;

const SCRIPT: &str = include_str!("watchdog.sh");

/// Owns the stack's directory. Whatever ends the owner closes the pipe to the shell process, which then stops every
/// process it has been told of and removes the directory.
#[derive(Debug)]
pub(crate) struct Watchdog {
    directory: PathBuf,
    shell: Mutex<Child>,
}

impl Watchdog {
    /// Makes a fresh directory for temporary files and starts watching.
    pub(crate) fn start() -> Result<Self, Error> {
        let directory = base_directory().join(format!("payrelay-{}", unique_name()));
        // 0711: as root the servers run under another user, who must be able to pass, but nobody else to list.
        DirBuilder::new()
            .mode(0o711)
            .create(&directory)
            .map_err(Error::io(format!("creating {}", directory.display())))?;
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "payrelay-watchdog"])
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own: Ctrl-C on the terminal must not reach it, nor the servers, before the owner has drained.
            .process_group(0)
            .spawn()
            .map_err(Error::io("starting the watchdog of the private servers"))?;
        Ok(Self { directory, shell: Mutex::new(shell) })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether this process is root, told from the owner of the directory it has just made.
    pub(crate) fn is_root(&self) -> Result<bool, Error> {
        let metadata = fs::metadata(&self.directory).map_err(Error::io("reading the stack's directory"))?;
        Ok(metadata.uid() == 0)
    }

    /// From now on `pid` is stopped with `signal` when the owner goes away.
    pub(crate) fn adopt(&self, pid: u32, signal: &str) -> Result<(), Error> {
        self.tell(&format!("+ {pid} {signal}\n"))
    }

    /// `pid` has ended and been waited for.
    pub(crate) fn forget(&self, pid: u32) -> Result<(), Error> {
        self.tell(&format!("- {pid}\n"))
    }

    fn tell(&self, line: &str) -> Result<(), Error> {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        let stdin = shell.stdin.as_mut().ok_or_else(|| Error::failed("telling the watchdog", "closed"))?;
        stdin.write_all(line.as_bytes()).map_err(Error::io("telling the watchdog"))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let shell = self.shell.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(shell.stdin.take());
        // Nothing to be done about a failure here: the shell cleans up by itself.
        let _ = shell.wait();
    }
}

/// The system's temporary directory, or `/tmp` where that one is closed to the user that the servers run as.
pub(crate) fn base_directory() -> PathBuf {
    let directory = env::temp_dir();
    let passable = |folder: &Path| fs::metadata(folder).is_ok_and(|metadata| metadata.mode() & 0o001 != 0);
    if directory.ancestors().all(passable) { directory } else { PathBuf::from("/tmp") }
}

/// A name that no other process and no other call has: process id, counter, time.
pub(crate) fn unique_name() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos());
    format!("{}-{count}-{nanos:x}", process::id())
}
