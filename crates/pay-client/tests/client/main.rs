//! The client against a real broker, and the examples against a database as well.
#![expect(clippy::unwrap_used, reason = "a helper's failure is the test's")]

mod examples;
mod publish;
mod subscribe;
mod support;
