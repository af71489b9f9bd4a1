//! The notifier against real PostgreSQL and RabbitMQ, and a merchant that checks what it gets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admin;
mod answers;
mod audit;
mod batches;
mod breaker_dispatch;
mod breakers;
mod formats;
mod handover;
mod holders;
mod keys;
mod leases;
mod merchant;
mod migrations;
mod retention;
mod retries;
mod service;
mod states;
mod store;
mod support;
mod webhooks;
