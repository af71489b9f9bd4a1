//! The crate against real RabbitMQ: a fresh vhost for every test, a broker of its own where it is killed or blocked.

mod consumer;
mod crashes;
mod faults;
mod publisher;
mod support;
mod topology;
