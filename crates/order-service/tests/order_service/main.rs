//! The order service on real servers.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod arrivals;
mod audit;
mod consume;
mod contradictions;
mod faults;
mod fixtures;
mod http;
mod retention;
mod running;
mod store;
