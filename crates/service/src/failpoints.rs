//! Points between two steps at which a test lets the process die.
//!
//! A point is one line, `fail::fail_point!("crate::point", |_| std::process::abort());`, and is nothing without the feature
//! `failpoints`. With it the variable `FAILPOINTS` arms points: `relay::after_confirm=3*off->return` passes three times, then
//! aborts. An abort, for a panic would be caught and a clean exit would run destructors.

#[cfg(not(debug_assertions))]
compile_error!("the feature `failpoints` is for tests: a released program must not be told to abort");

/// Arms the points that `FAILPOINTS` names, until the answer is dropped. Panics where it cannot be read.
pub(crate) fn set_up() -> fail::FailScenario<'static> {
    let scenario = fail::FailScenario::setup();
    tracing::warn!(armed = ?fail::list(), "built with failpoints, for tests alone");
    scenario
}
