//! PostgreSQL for payrelay's services: connections, migrations, micro-batches, partitions and leadership.
//!
//! * [`Server`] says where the database is, and by which certificates and password it is reached.
//! * [`Database`] is the pool: [`Database::client`] for single statements, [`Database::transaction`] for what must be
//!   atomic, [`Database::migrate`] for the schema that a service owns.
//! * [`until_available`] repeats what a service does first while the server is away.
//! * [`Error`] says what its caller does about it: pause, try again, or look at the rows one by one.
//! * [`Batcher`] lets requests that arrive together share one transaction.
//! * [`leadership::hold`] elects one replica by a session advisory lock.
//! * [`partitions::Maintainer`] creates daily partitions ahead and drops expired ones.
//! * [`Database::checkup`] tells what an operator must know of the server and of a service's partitions.
//!
//! The crate knows no table: every statement on data is its caller's.

mod batcher;
mod blocked;
mod cause;
mod checkup;
mod connector;
mod database;
mod digest;
mod error;
pub mod leadership;
mod metric_table;
mod migrations;
mod owned;
mod parsed;
pub mod partitions;
mod pool_gauges;
mod server;
mod session;
mod settings;
mod stale;
mod tls;
mod transaction;
mod url;
mod waiting;

pub use batcher::{Batcher, BatcherOptions, SubmitError, Writers};
pub use cause::Cause;
pub use checkup::Checkup;
pub use database::Database;
pub use deadpool_postgres::{Client, GenericClient, Transaction};
pub use error::Error;
pub use metric_table::describe_metrics;
pub use migrations::Preparation;
pub use parsed::{Parsed, parsed};
pub use server::Server;
pub use transaction::{TransactionFuture, Tx};
pub use waiting::until_available;
