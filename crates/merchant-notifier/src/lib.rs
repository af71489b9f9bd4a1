//! The merchant notifier: sends every event as a signed webhook to its merchant.
//!
//! The way of one payment through it:
//!
//! 1. A [`receive::Receiver`] takes a batch from `merchant.pay.success.queue`. In one transaction each event that no
//!    other event has told yet becomes a notification (its event key is unique, and kept for ever), and every event
//!    id is logged with its outcome. Only then the batch is acknowledged.
//! 2. It takes a lease of 30 s with each notification that it has a place for, and after the commit starts its
//!    [`dispatch::Attempts`]. The [`dispatch::Dispatcher`] claims what else is due, from every merchant a few, so that a
//!    slow one slows nobody else, and never one whose pay order has a lower version pending.
//! 3. The [`dispatch::Sender`] checks the target ([`ssrf`]), puts the body into the endpoint's [`Format`], signs it afresh by its
//!    [`keyring`] and POSTs it.
//! 4. The attempt and what follows from it are recorded in one statement, fenced by the token of the lease: delivered,
//!    due again after the next delay of the [`Ladder`], or parked with a reason. A worker that froze and lost
//!    its lease records nothing.
//!
//! A process that dies loses nothing: its leases end, and others take over. The merchant may then see a webhook twice,
//! with the same `webhook-id`.
//!
//! | a notification is parked | until |
//! |---|---|
//! | `no_endpoint`: there is no address | the endpoint gets one |
//! | `endpoint_disabled`: an operator or an answer 410 disabled the endpoint | it is enabled |
//! | `attempts_exhausted`: the last delay is used up | it is retried by hand |
//! | `gone`: the pay order's own address answered 410 | it is retried by hand |

pub mod admin;
mod checkup;
mod config;
pub mod dispatch;
mod endpoint;
mod form;
pub mod keyring;
mod ladder;
pub mod maintenance;
mod metric_table;
pub mod receive;
mod run;
pub mod secrets;
pub mod ssrf;
pub mod store;
#[cfg(test)]
mod test_events;
mod text;
mod webhook;

pub use config::{Config, SETTINGS};
pub use endpoint::{Ack, Change, Encryption, Endpoint, EndpointChange, Format, Signature, UnknownName};
pub use ladder::{DEFAULT_LADDER, InvalidLadder, Ladder, MAX_RETRY_AFTER, retry_after};
pub use metric_table::describe_metrics;
pub use run::{Service, run};
