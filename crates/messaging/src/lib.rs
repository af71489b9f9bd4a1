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
mod error;
mod finding;
mod inspection;
#[cfg(feature = "management")]
pub mod management;
mod message;
mod metric_table;
mod publisher;
pub mod reconnect;
mod refusal;
mod retry_delays;
mod topology;
mod url;

pub use connection::{Broker, close};
pub use consumer::{
    Consumer, ConsumerStatus, Delivery, Handler, HandlerError, ParkedDelivery, Verdict, all_subscribed,
};
pub use dead_letters::{DeadLetter, DeadLetters, MAX_INSPECTED, MAX_REMOVED, ReplayError};
pub use definitions::definitions;
pub use error::{Error, PublishError};
pub use finding::{DoctorFinding, FindingKind, Severity};
pub use message::{Event, Message, header};
pub use metric_table::describe_metrics;
pub use publisher::{PublishOutcome, Publisher, PublisherTask};
pub use retry_delays::{InvalidRetryDelays, RetryDelays};
pub use topology::{
    ConsumerQueue, EXCHANGE, Topology, dead_letter_queue_arguments, main_queue_arguments,
    retry_queue_arguments,
};
