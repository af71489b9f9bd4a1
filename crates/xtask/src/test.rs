//! `cargo xtask test`: one pair of private servers for all tests.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use devstack::testing::{
    AMQP_URL_VARIABLE, DATABASE_URL_VARIABLE, MANAGEMENT_URL_VARIABLE, PROGRAMS_VARIABLE,
};
use devstack::{Stack, StackOptions};

use crate::count::{Counts, counted};
use crate::{cargo, setup, step};

/// Compiles into all services the points at which the crash matrix lets them die. On every call, so that they share what
/// is built.
const FAILPOINTS: [&str; 2] =
    ["--features", "ingress/failpoints,order-service/failpoints,merchant-notifier/failpoints"];

/// Sets up, builds all programs, and runs `cargo test --workspace` with `arguments`. The result is cargo's exit code.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    setup::run()?;
    step("building the programs");
    cargo::run(&[&["build", "--workspace", "--bins"], &FAILPOINTS[..]].concat())?;

    step("starting PostgreSQL and RabbitMQ for the tests");
    let started = Instant::now();
    // Not flushed to the disk: the tests crash servers, never the machine.
    let stack = Stack::start(&StackOptions { durable: false, ..StackOptions::default() })?;
    step(&format!(
        "both are ready after {:.1} s, in {}",
        started.elapsed().as_secs_f32(),
        stack.directory().display()
    ));

    let mut command = cargo::command();
    command
        .args(["test", "--workspace"])
        .args(FAILPOINTS)
        .args(arguments)
        .envs(environment(&stack))
        .env(PROGRAMS_VARIABLE, cargo::programs()?);
    let (counts, status) = counted(command, |line, _, _| {
        println!("{line}");
        Ok(())
    })?;
    step("stopping the servers");
    drop(stack);
    let Counts { tests, failed, skipped } = counts;
    step(if status.success() { "all tests passed" } else { "tests failed" });
    step(&format!("{} passed, {failed} failed, {skipped} skipped", tests - failed));
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// What tells tests to use these servers instead of starting some of their own.
pub(crate) fn environment(stack: &Stack) -> [(&'static str, String); 3] {
    [
        (DATABASE_URL_VARIABLE, stack.postgres().database_url()),
        (AMQP_URL_VARIABLE, stack.rabbitmq().amqp_url()),
        (MANAGEMENT_URL_VARIABLE, stack.rabbitmq().management_url()),
    ]
}
