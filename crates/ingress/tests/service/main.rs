//! The ingress over HTTP and AMQP, on real servers.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod accounts;
mod admin;
mod balance_payment;
mod callbacks;
mod channels;
mod closing;
mod contradictions;
mod nacks;
mod outbox;
mod pay_orders;
mod recharges;
mod replicas;
mod stopping;
mod support;
