//! What may go wrong with the database, sorted by what the caller does about it.

use std::error::Error as StdError;
use std::io;

use deadpool_postgres::PoolError;
use tokio_postgres::error::{DbError, SqlState};

use crate::cause::{BoxedError, Cause, causes};
use crate::stale;

/// A failure of the database. The variants are named by what the caller does.
///
/// The text holds the server's message and SQLSTATE, never its `DETAIL`, which quotes values of rows.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is away, overloaded, read-only, full, or not in the state that our statements need. Nothing is said
    /// about the rows: a consumer pauses, an HTTP handler answers 503. After a failed COMMIT the outcome is unknown.
    #[error("database unavailable: {0}")]
    Unavailable(#[source] Cause),
    /// A deadlock, a serialization failure or a lock timeout: the same transaction may well succeed now.
    /// [`crate::Database::transaction`] has already tried a few times when a caller sees it.
    #[error("transaction must be repeated: {0}")]
    Retryable(#[source] Cause),
    /// The server refuses this statement with these values, or the caller refuses to write them: of a batch, the rows are tried
    /// one by one.
    #[error("statement rejected: {0}")]
    Rejected(#[source] Cause),
    /// The migrations in the binary and those in the database do not fit, or one of them fails: an operator must look.
    #[error("migration of schema {schema} failed: {source}")]
    Migration {
        /// The schema that was to be migrated.
        schema: String,
        /// What refinery says.
        source: Cause,
    },
    /// The database, or what stands between it and us, is not as it must be, and waiting does not help: another encoding than
    /// UTF-8, a pooler in transaction mode. An outage to those who run, a reason to end for those who start.
    #[error("the database cannot be used: {0}")]
    Unfit(String),
    /// The database URL, or a file beside it, cannot be used. No text of it quotes them.
    #[error("invalid database URL: {0}")]
    Config(String),
}

impl Error {
    /// Whether the failure says nothing about the rows, so that the caller pauses instead of judging a message.
    /// A transaction that lost every retry counts as one too.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Retryable(_) | Self::Unfit(_))
    }

    /// Whether the server answers, and our login, database, privileges, schema, encoding or pooler do not fit it, or one side
    /// refuses the other's certificate: an outage to those who run, for no row is to blame, and yet no reason to wait at a start,
    /// for an operator must mend it.
    pub fn is_misconfigured(&self) -> bool {
        matches!(self, Self::Unfit(_) | Self::Config(_))
            || self.server_error().is_some_and(is_misconfigured)
            || causes(self).any(transport::tls::is_refusal)
    }

    /// The constraint that the statement violated, if it was rejected for one.
    pub fn constraint(&self) -> Option<&str> {
        self.server_error()?.constraint()
    }

    /// The SQLSTATE of the server's answer, if there was one.
    pub fn code(&self) -> Option<&SqlState> {
        self.server_error().map(DbError::code)
    }

    fn server_error(&self) -> Option<&DbError> {
        causes(self).find_map(|cause| cause.downcast_ref::<DbError>())
    }

    /// An outage that has no error of the driver behind it, as a timeout of our own.
    pub fn unavailable(cause: impl Into<BoxedError>) -> Self {
        Self::Unavailable(Cause(cause.into()))
    }

    /// Values that the caller refuses to write.
    pub fn rejected(cause: impl Into<BoxedError>) -> Self {
        Self::Rejected(Cause(cause.into()))
    }

    pub(crate) fn migration(schema: &str, cause: refinery::Error) -> Self {
        Self::Migration { schema: schema.to_owned(), source: Cause(cause.into()) }
    }
}

impl From<tokio_postgres::Error> for Error {
    /// Also the place where every failure of a session comes by: see `stale.rs`.
    fn from(error: tokio_postgres::Error) -> Self {
        stale::note(&error);
        match classify(&error) {
            Class::Unavailable => Self::unavailable(error),
            Class::Retryable => Self::Retryable(Cause(error.into())),
            Class::Rejected => Self::rejected(error),
        }
    }
}

impl From<PoolError> for Error {
    /// Whoever gets no connection has not spoken of any row yet, so every failure of the pool is an outage.
    fn from(error: PoolError) -> Self {
        Self::unavailable(error)
    }
}

/// Whether some cause of `error` is a deadlock, a serialization failure or a lock timeout.
pub(crate) fn is_retryable(error: &(dyn StdError + 'static)) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref())
        .any(|server: &DbError| matches!(classify_code(server.code()), Class::Retryable))
}

/// Whether some cause of `error` is the server being away, as against a statement that it refuses for good.
pub(crate) fn is_server_away(error: &(dyn StdError + 'static)) -> bool {
    causes(error).filter_map(|cause| cause.downcast_ref()).any(|driver: &tokio_postgres::Error| {
        classify(driver) == Class::Unavailable && !driver.as_db_error().is_some_and(is_misconfigured)
    })
}

/// Unsupported, authorization, catalog and schema, syntax and privileges, and what breaks the protocol for good (PostgreSQL
/// documentation, appendix A).
fn is_misconfigured(server: &DbError) -> bool {
    match server.code().code() {
        "0A000" => !stale::is_stale_plan(server),
        "08P01" => is_refused_for_good(server),
        code => matches!(code.get(..2), Some("0A" | "28" | "3D" | "3F" | "42")),
    }
}

/// PostgreSQL says 08P01 of what breaks the protocol, and where in its source. A pooler, which names no source, says it of
/// everything, outages too, so it is judged by its words, which are never translated.
fn is_refused_for_good(server: &DbError) -> bool {
    const FOR_GOOD: [&str; 7] = [
        "unsupported startup parameter",
        "unsupported protocol",
        "transaction blocks not allowed",
        "no such database",
        "no such user",
        "SSL required",
        "not allowed to",
    ];
    server.file().is_some() || FOR_GOOD.iter().any(|words| server.message().contains(words))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Unavailable,
    Retryable,
    Rejected,
}

fn classify(error: &tokio_postgres::Error) -> Class {
    if let Some(code) = error.code() {
        return classify_code(code);
    }
    // The driver reports values that it cannot encode as io errors of these kinds; all others are the network's.
    let network = causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|io| !matches!(io.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData));
    if network || error.is_closed() { Class::Unavailable } else { Class::Rejected }
}

/// Sorts a SQLSTATE (PostgreSQL documentation, appendix A).
///
/// Class 42 (unknown table or column, missing privilege), 28, 3D and 3F are faults of our deployment, 0A and 26 those of
/// statements prepared before a migration or behind a pooler, XX those of the server's files. Every row shares them: taking
/// them for a verdict would dead-letter a whole queue.
fn classify_code(code: &SqlState) -> Class {
    let code = code.code();
    match code {
        "40001" | "40P01" | "55P03" => Class::Retryable,
        // Read-only server, and sessions that the server ended for idling.
        "25006" | "25P03" | "25P04" => Class::Unavailable,
        _ => match code.get(..2) {
            // Connection, stale statements, authorization, catalog and schema, resources and disk, cancelled or shutting
            // down, I/O of the server, damaged files.
            Some("08" | "0A" | "26" | "28" | "3D" | "3F" | "42" | "53" | "57" | "58" | "XX") => {
                Class::Unavailable
            }
            _ => Class::Rejected,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sqlstate_of_an_outage_is_one() {
        for code in [
            "08006", "0A000", "25006", "26000", "28P01", "3F000", "42P01", "42501", "53100", "53300",
            "57014", "57P01", "57P03", "58030", "XX001",
        ] {
            assert_eq!(classify_code(&SqlState::from_code(code)), Class::Unavailable, "{code}");
        }
    }

    #[test]
    fn conflicts_are_retried_and_bad_values_rejected() {
        for code in ["40001", "40P01", "55P03"] {
            assert_eq!(classify_code(&SqlState::from_code(code)), Class::Retryable, "{code}");
        }
        // 25P02: of statements that travel together, one that follows the one that failed.
        for code in ["23505", "23514", "22001", "22021", "25P02", "P0001"] {
            assert_eq!(classify_code(&SqlState::from_code(code)), Class::Rejected, "{code}");
        }
    }

    #[test]
    fn an_outage_says_why_in_one_line() {
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
        let error = Error::unavailable(refused);
        assert!(error.is_outage());
        assert_eq!(error.to_string(), "database unavailable: connection refused");
    }
}
