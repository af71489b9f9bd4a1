//! PostgreSQL for payrelay's services: connections, migrations, micro-batches, partitions and leadership.
//!
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
mod checkup;
mod connector;
mod database;
mod digest;
mod error;
pub mod leadership;
mod migrations;
pub mod partitions;
mod transaction;
mod waiting;

pub use batcher::{Batcher, BatcherOptions, SubmitError};
pub use checkup::Checkup;
pub use database::Database;
pub use deadpool_postgres::{Client, GenericClient, Transaction};
pub use error::Error;
pub use transaction::{TransactionFuture, Tx};
pub use waiting::until_available;
