//! RabbitMQ for payrelay's services: connection, topology, publisher, consumer runtime.
//!
//! One file per concern. What every part keeps to:
//!
//! - **One task per channel.** A [`Publisher`] and each subscription of a [`Consumer`] own their channel alone,
//!   for several tasks on one channel mix up each other's confirms.
//! - **Publishing and consuming never share a connection.** A broker under memory or disk alarm stops reading from
//!   a connection that publishes, acknowledgements included.
//! - **No recovery inside the client.** A broken connection is dropped with all that was in flight and made anew
//!   with backoff ([`reconnect`]); what was in flight is unknown and is repeated.
//! - **A delivery is acknowledged last**: after its effect is committed, or after its copy in a retry or
//!   dead-letter queue is confirmed.

mod connection;
mod consumer;
mod dead_letters;
mod definitions;
mod finding;
mod inspection;
pub mod management;
mod message;
mod publisher;
pub mod reconnect;
mod retry_delays;
mod topology;

pub use connection::{Broker, Error, close};
pub use consumer::{Consumer, ConsumerStatus, Delivery, Handler, HandlerError, Parked, Verdict};
pub use dead_letters::{DeadLetter, DeadLetters, LOOK, ReplayError};
pub use definitions::definitions;
pub use finding::{Finding, Severity};
pub use message::{Event, Message, header};
pub use publisher::{Outcome, PublishError, Publisher};
pub use retry_delays::{InvalidRetryDelays, RetryDelays};
pub use topology::{
    ConsumerQueue, EXCHANGE, Topology, dead_letter_queue_arguments, main_queue_arguments,
    retry_queue_arguments,
};
