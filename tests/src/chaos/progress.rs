//! Lines of progress, with the time since the start.

use std::io::{self, Write};
use std::time::Instant;

/// Where progress goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    started: Instant,
    /// Standard output belongs to the report alone.
    to_stderr: bool,
}

impl Progress {
    pub(crate) fn new(to_stderr: bool) -> Self {
        Self { started: Instant::now(), to_stderr }
    }

    /// One line. Nobody may be left to read it, and the run goes on all the same.
    pub(crate) fn say(&self, text: &str) {
        let line = format!("chaos: {:6.1} s  {text}\n", self.started.elapsed().as_secs_f32());
        let _ = if self.to_stderr {
            io::stderr().write_all(line.as_bytes())
        } else {
            io::stdout().write_all(line.as_bytes())
        };
    }
}
