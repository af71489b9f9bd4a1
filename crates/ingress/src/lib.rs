//! The ingress: takes pay orders and channel callbacks, persists them, then tells the world.
//!
//! A walk through one payment:
//!
//! 1. `POST /v1/pay-orders` (`pay_orders/create.rs`) checks the request and hands the pay order to a micro-batched writer. A
//!    partial unique index lets an order have one active pay order; whoever comes second gets the first one back.
//! 2. The channel calls `POST /v1/callbacks/{channel_account}` (`callbacks.rs`). The crate [`channels`] verifies the raw
//!    bytes and says what they state: a fact.
//! 3. The fact is queued for the writer of facts (`facts/writer.rs`), together with all others that arrive meanwhile. One
//!    transaction locks the pay orders, folds the facts into them (`facts/fold.rs`, by [`events::transition`]), and writes the
//!    raw callbacks, the pay orders, the events, the outbox and the contradictions. Then the channel is answered.
//! 4. The commit wakes the relay (`relay.rs`), which publishes what is in the outbox to `pay.direct` and deletes what the
//!    broker has confirmed. It also wakes the requests that wait for this pay order (`pay_orders/get.rs`).
//! 5. A pay order that nobody pays is closed by the sweeper (`expiry.rs`) after its expiry and a grace, through the same
//!    writer.
//!
//! A user's balance payment (`balance_payment.rs`) is a fact, too, written in one transaction with the flow of its money.
//!
//! RabbitMQ is never waited for in a request. `admin` shows merchants, contradictions, traces and the audit.

mod accounts;
mod admin;
mod api_keys;
mod balance_payment;
mod batches;
mod callbacks;
mod channels_file;
mod checkup;
mod config;
mod error;
mod expiry;
mod facts;
#[cfg(test)]
mod fixtures;
mod maintenance;
mod metric_table;
mod pay_orders;
mod recharges;
mod relay;
mod router;
mod run;
mod signals;
mod state;
mod store;
mod trace_context;

pub use channels_file::Channels;
pub use config::{Config, SETTINGS};
pub use metric_table::describe_metrics;
pub use run::{Service, run};
pub use store::migrate;
