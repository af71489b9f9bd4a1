//! The notifier against real PostgreSQL and RabbitMQ, and a merchant that checks what it gets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admin;
mod audit;
mod batches;
mod breaker_dispatch;
mod breakers;
mod formats;
mod handover;
mod keys;
mod leases;
mod merchant;
mod retention;
mod retries;
mod service;
mod store;
mod support;
mod webhooks;
