//! What can go wrong, by what to do about it.

use std::fmt;
use std::io;

/// Why a server or a test's database or vhost could not be had.
#[derive(Debug)]
pub enum Error {
    /// The programs of a server are missing or too old: run `cargo xtask setup`.
    NotInstalled {
        /// The server's name.
        server: &'static str,
        /// What was looked for.
        detail: String,
    },
    /// A server ended or stayed silent while it was awaited.
    NotReady {
        /// The server's name.
        server: &'static str,
        /// What was awaited in vain.
        problem: String,
        /// The last lines of the server's log.
        log: String,
    },
    /// A step failed: a file, a process, a command or a request.
    Failed {
        /// The step.
        step: String,
        /// The reason the system, the program or the server gave.
        reason: String,
    },
}

impl Error {
    pub(crate) fn failed(step: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self::Failed { step: step.into(), reason: reason.to_string().trim().to_owned() }
    }

    /// For `map_err`: names the step in which an I/O error came up.
    pub(crate) fn io(step: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::failed(step, source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInstalled { server, detail } => {
                write!(f, "{server} is not installed ({detail}): run `cargo xtask setup`")
            }
            Self::NotReady { server, problem, log } => write!(
                f,
                "{server} {problem}; if its installation is incomplete, run `cargo xtask setup`. The end of its log:\n{log}"
            ),
            Self::Failed { step, reason } => write!(f, "{step}: {reason}"),
        }
    }
}

impl std::error::Error for Error {}
