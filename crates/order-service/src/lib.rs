//! The order service: keeps the orders of merchants and marks them paid by the events of pay orders.
//!
//! A walk through one payment:
//!
//! 1. `POST /v1/orders` (`http.rs`) checks the order ([`order`]) and stores it once per merchant and number.
//! 2. `pay.success` comes to `trade.pay.success.queue`. The consumer runtime hands over a batch ([`consume`]), in which each
//!    message is an event of a pay order or a bare order number.
//! 3. One transaction ([`apply`]) locks the orders of the batch, folds the messages into them in the order of their arrival
//!    ([`fold`]), and writes the orders, the sub-orders of those that are paid for the first time ([`split`]), the notes on
//!    them and the log of handled events.
//! 4. What one message does to one order is decided in one pure function, [`decide::decide`]. Its guard is the order
//!    itself, so that an event is never applied twice, however long ago it was handled.
//! 5. What can never be applied is recorded as parked, then dead-lettered; a message whose order is unknown waits in the
//!    retry queues. When the database is away the consumer pauses, and nothing is parked.
//!
//! `admin.rs` tells operators what happened to an order, and proves by the window what became of every event.

mod admin;
pub mod apply;
mod checkup;
mod config;
pub mod consume;
pub mod decide;
pub mod fold;
mod gauges;
mod http;
pub mod item;
mod label;
mod maintenance;
mod metric_table;
pub mod order;
mod run;
pub mod split;
pub mod store;

pub use config::{Config, SETTINGS};
pub use metric_table::describe_metrics;
pub use run::{Service, run};
pub use store::migrate;
