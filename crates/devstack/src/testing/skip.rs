//! Tests that cannot run where a tool is missing.

use std::env;
use std::io::{self, Write as _};
use std::thread;

/// `true` where every check must run.
const CI_VARIABLE: &str = "CI";

/// Says on the terminal that this test is skipped, and why.
///
/// # Panics
/// With `CI=true`: there a check that does not run must not look like one that passes.
pub fn skip(reason: &str) {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let message = format!("SKIPPED {test}: {reason}");
    assert!(!must_run(env::var(CI_VARIABLE).ok().as_deref()), "{message}\n{CI_VARIABLE}=true: install it");
    // Not by `eprintln!`, which is shown for tests that fail only.
    let _ = writeln!(io::stderr(), "{message}");
}

fn must_run(ci: Option<&str>) -> bool {
    ci == Some("true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_must_run_where_ci_is_true() {
        assert!(must_run(Some("true")));
        for elsewhere in [None, Some(""), Some("false"), Some("0")] {
            assert!(!must_run(elsewhere), "{elsewhere:?}");
        }
    }
}
