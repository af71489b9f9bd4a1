//! Programs that run to their end.

use std::process::Output;

use devstack::testing::program;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::LIMIT;

/// How a program ended and what it wrote.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Answer {
    /// What it printed, as JSON. It must have exited with 0.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }
}

/// Runs one of the workspace's programs with this environment and nothing else of ours.
pub async fn run_program(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Answer {
    let mut command = Command::new(program(name));
    command.args(arguments).env_clear().envs(environment.iter().copied()).kill_on_drop(true);
    let ended = timeout(LIMIT, command.output()).await;
    let Output { status, stdout, stderr } =
        ended.unwrap_or_else(|_| panic!("{name} {arguments:?} runs for too long")).expect("a program");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Answer { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}
