//! Runs tests, and counts them by the lines that cargo and the tests write.

use std::io::{self, BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result};

/// The result of a run of tests.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) tests: u64,
    pub(crate) failed: u64,
    /// Tests that said that they did nothing. Measurements, which are run by hand (`ignored`), are no tests.
    pub(crate) skipped: u64,
}

impl Counts {
    /// Takes in one line; returns whether it ended a test program.
    pub(crate) fn take(&mut self, line: &str) -> bool {
        // Not only at the start of the line: libtest may have begun one.
        self.skipped += line.matches("SKIPPED ").count() as u64;
        let Some((_, result)) = line.split_once("test result: ") else {
            return false;
        };
        // "ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.02s"
        let counted = |what: &str| -> u64 {
            let field = result.split([';', '.']).find_map(|field| field.trim().strip_suffix(what));
            field.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
        };
        let failed = counted(" failed");
        self.failed += failed;
        self.tests += counted(" passed") + failed;
        true
    }
}

/// Runs `command` and gives every line of its output, with the counts up to it and whether it ended a test program, to
/// `take_line`.
pub(crate) fn counted(
    mut command: Command,
    mut take_line: impl FnMut(&str, bool, Counts) -> Result<()>,
) -> Result<(Counts, ExitStatus)> {
    let (reader, writer) = io::pipe().context("a pipe for the tests' output")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().context("the tests cannot be run")?;
    // It holds the writing end of the pipe, which would never end.
    drop(command);
    let mut counts = Counts::default();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.context("reading the tests' output")?;
        let line = String::from_utf8_lossy(&line);
        let ended = counts.take(&line);
        take_line(&line, ended, counts)?;
    }
    let status = child.wait().context("waiting for the tests")?;
    Ok((counts, status))
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn closing_lines_are_added_up() {
        let mut counts = Counts::default();
        let lines = [
            ("running 5 tests", false),
            ("test a ... ok", false),
            (
                "test result: ok. 3 passed; 0 failed; 2 ignored; 0 measured; 7 filtered out; finished in 0.12s",
                true,
            ),
            (
                "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
                true,
            ),
        ];
        for (line, ends) in lines {
            assert_eq!(counts.take(line), ends, "{line}");
        }
        assert_eq!(counts, Counts { tests: 15, failed: 2, skipped: 0 });
    }

    #[test]
    fn what_says_that_it_was_skipped_is_counted() {
        let mut counts = Counts::default();
        counts.take("SKIPPED examples::python: no Python with requirements.txt: none");
        counts.take("test examples::node ... SKIPPED examples::node: no Node with package.json: none");
        assert_eq!(counts, Counts { tests: 0, failed: 0, skipped: 2 });
    }
}
