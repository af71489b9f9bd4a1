//! The crate against real RabbitMQ: a fresh vhost for every test, a broker of its own where it is killed or blocked.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod consumer;
mod copies;
mod crashes;
mod dead_letters;
mod faults;
mod inspection;
mod management;
mod publisher;
mod replicas;
mod rights;
mod support;
mod tls;
mod topology;
