//! Private, throw-away PostgreSQL and RabbitMQ servers for dev, demo and tests. Standard library only.
//!
//! A [`Stack`] listens on loopback, on free ports, and keeps all its files in one temporary directory, so any number of
//! stacks run side by side. Nothing of it outlives its owner: a small shell process (the watchdog) waits on a pipe that
//! only the owner holds open. When the owner drops the stack, exits, is interrupted or is killed, the pipe closes, and the
//! watchdog stops the servers and removes the directory.
//!
//! The servers trust every local user (PostgreSQL `trust`, RabbitMQ `guest`): they are for test data only.
//!
//! ```no_run
//! # fn main() -> Result<(), devstack::Error> {
//! let stack = devstack::Stack::start(&devstack::StackOptions::default())?;
//! println!("{} {}", stack.postgres().database_url(), stack.rabbitmq().amqp_url());
//! stack.rabbitmq().kill()?; // a crash ...
//! stack.rabbitmq().start()?; // ... and the same broker again: same port, same data
//! # Ok(())
//! # }
//! ```
//!
//! Tests take their servers from [`testing`], which shares one stack between them.

mod error;
mod http;
pub mod installed;
mod ports;
mod postgres;
mod process;
mod rabbitmq;
mod root;
pub mod testing;
mod watchdog;

use std::sync::Arc;
use std::thread;

pub use error::Error;
pub use postgres::Postgres;
pub use rabbitmq::RabbitMq;

use watchdog::Watchdog;

/// What a [`Stack`] consists of. The default is both servers, durable.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Start PostgreSQL.
    pub postgres: bool,
    /// Start RabbitMQ.
    pub rabbitmq: bool,
    /// Let PostgreSQL flush to the disk (`fsync`), and set RabbitMQ as for production. Without it a killed server still loses
    /// nothing, a killed machine does, and depths of queues are seen sooner.
    pub durable: bool,
}

impl Default for StackOptions {
    fn default() -> Self {
        Self { postgres: true, rabbitmq: true, durable: true }
    }
}

/// A running pair of private servers. Dropping it stops them and removes their files.
#[derive(Debug)]
pub struct Stack {
    // Declared, and therefore dropped, before the watchdog, which removes the directory last.
    postgres: Option<Postgres>,
    rabbitmq: Option<RabbitMq>,
    watchdog: Arc<Watchdog>,
}

impl Stack {
    /// Starts the servers side by side and returns when they accept connections.
    ///
    /// # Errors
    /// [`Error::NotInstalled`] when a server's programs are missing, [`Error::NotReady`] with the end of its log when it
    /// does not come up. What had been started is stopped again.
    pub fn start(options: &StackOptions) -> Result<Self, Error> {
        let watchdog = Arc::new(Watchdog::start()?);
        let (postgres, rabbitmq) = thread::scope(|scope| {
            let postgres =
                options.postgres.then(|| scope.spawn(|| Postgres::create(&watchdog, options.durable)));
            let rabbitmq = options.rabbitmq.then(|| RabbitMq::create(&watchdog, options.durable)).transpose();
            let postgres = postgres
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .transpose();
            (postgres, rabbitmq)
        });
        Ok(Self { postgres: postgres?, rabbitmq: rabbitmq?, watchdog })
    }

    /// The PostgreSQL server.
    ///
    /// # Panics
    /// When [`StackOptions::postgres`] was false.
    pub fn postgres(&self) -> &Postgres {
        self.postgres.as_ref().expect("the stack was started without PostgreSQL")
    }

    /// The RabbitMQ server.
    ///
    /// # Panics
    /// When [`StackOptions::rabbitmq`] was false.
    pub fn rabbitmq(&self) -> &RabbitMq {
        self.rabbitmq.as_ref().expect("the stack was started without RabbitMQ")
    }

    /// The directory that holds all files of the stack; gone once the stack is dropped.
    pub fn directory(&self) -> &std::path::Path {
        self.watchdog.directory()
    }
}
