//! The order service on real servers.

mod fixtures;
mod store;
