//! Sessions that cannot work any more although their connection stands.
//!
//! After a failover the old primary, now a standby, keeps the sessions that it had; after a change of a column's type the plans
//! of all sessions are of yesterday. Such a session fails for ever. Statements are asked in a hundred places, so it is not
//! found by those who hold it: every error of the driver becomes an [`crate::Error`], which notes here when it was, and pools
//! give out no session that was made before.

use std::error::Error as StdError;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio_postgres::error::DbError;

use crate::cause::causes;

/// When the last such error came, in nanoseconds since the first look at the time and one more; 0 for never. One for the
/// process: an error does not tell its pool, and a pool that is suspected wrongly connects once too often, no more.
static NOTED_AT: AtomicU64 = AtomicU64::new(0);

/// Takes note of an error after which only another session helps.
pub(crate) fn note(error: &(dyn StdError + 'static)) {
    if servers(error).any(|server| is_of_session(server.code().code())) {
        note_now();
    }
}

/// Takes note that the sessions of now are not to be used again.
pub(crate) fn note_now() {
    NOTED_AT.fetch_max(nanos_until(Instant::now()) + 1, Ordering::Relaxed);
}

/// Whether a session that was made at `created` may be one of those that such an error came from.
pub(crate) fn is_suspect(created: Instant) -> bool {
    nanos_until(created) < NOTED_AT.load(Ordering::Relaxed)
}

/// Whether the same statements may well succeed in another session, and nothing of them has been done.
pub(crate) fn is_mended_by_another_session(error: &(dyn StdError + 'static)) -> bool {
    servers(error).any(|server| is_of_plan(server.code().code()) || server.code().code() == "25006")
}

/// Whether it is the server's answer to a plan that was made before a column changed, as against what it does not support.
pub(crate) fn is_stale_plan(server: &DbError) -> bool {
    server.code().code() == "0A000" && server.routine() == Some("RevalidateCachedQuery")
}

/// A session of a server that is read-only or going down, one that was ended, or one whose plans or prepared statements are not
/// what we take them for (PostgreSQL documentation, appendix A).
fn is_of_session(code: &str) -> bool {
    match code {
        "25006" | "25P03" | "25P04" | "57P01" | "57P02" | "57P03" | "57P04" | "57P05" => true,
        _ => is_of_plan(code) || code.starts_with("08"),
    }
}

/// 0A000 and 26000 are a plan and a statement of yesterday, 42P05 a statement of somebody else. 42804, 42846 and 42883 come of
/// parameters whose type follows from a column that has another one now, XX000 of a plan over what was dropped.
fn is_of_plan(code: &str) -> bool {
    matches!(code, "0A000" | "26000" | "42P05" | "42804" | "42846" | "42883" | "XX000")
}

fn servers<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a DbError> {
    causes(error).filter_map(|cause| cause.downcast_ref())
}

fn nanos_until(instant: Instant) -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let since = instant.saturating_duration_since(*ORIGIN.get_or_init(Instant::now));
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_a_session_are_told_from_those_of_rows_and_load() {
        for code in [
            "08006", "08P01", "0A000", "25006", "25P03", "26000", "42P05", "42883", "57P01", "57P03", "XX000",
        ] {
            assert!(is_of_session(code), "{code}");
        }
        for code in ["23505", "40001", "42501", "53300", "57014", "55P03", "25P02", "XX001"] {
            assert!(!is_of_session(code), "{code}");
        }
    }

    #[test]
    fn what_was_made_before_an_error_is_suspect_and_what_comes_after_is_not() {
        let before = Instant::now();
        note_now();
        assert!(is_suspect(before));
        let after = Instant::now() + std::time::Duration::from_secs(3600);
        assert!(!is_suspect(after));
    }
}
