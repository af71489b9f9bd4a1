//! How a command can end, and the exit code that says so.

use std::process::ExitCode;

use thiserror::Error;

/// Why a command did not end well.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// It ran, and found something that somebody must look at. What was found has been printed already.
    #[error("{0}")]
    Findings(String),
    /// It was called wrongly.
    #[error("{0}")]
    Usage(String),
    /// A server did not answer.
    #[error("{0}")]
    Unreachable(String),
    /// Something about its surroundings that somebody must mend first.
    #[error("{0}")]
    Refused(#[from] service::StartRefusal),
    /// Anything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// What a command returns.
pub(crate) type CommandResult = Result<(), Failure>;

impl Failure {
    /// 1 for findings and whatever else failed, 2 for wrong usage, 3 for a server that cannot be reached, and 78, as of services,
    /// for what must be mended first.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Refused(_) => 78,
            Self::Other(error) if error.is::<service::StartRefusal>() => 78,
            Self::Findings(_) | Self::Other(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
        })
    }
}
