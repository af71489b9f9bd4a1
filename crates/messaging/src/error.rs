//! What may go wrong with the broker, and with a publish.

use std::time::Duration;

use transport::tls;

/// Why the broker could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configured URL is wrong; trying again will not help.
    #[error("not an AMQP URL (amqp://user:password@host:5672/vhost): {0}")]
    Url(String),
    /// A certificate or key cannot be used.
    #[error("TLS to RabbitMQ: {0}")]
    Tls(#[from] transport::TlsError),
    /// The broker is away, refused or broke off; try again later.
    #[error("RabbitMQ: {}", told(.0))]
    Broker(lapin::Error),
    /// The client cannot read what the broker sent, and gives up the connection. It comes again with the same message.
    #[error(
        "{0}; a message does that whose properties or names of headers are not UTF-8: take it off the queue in RabbitMQ's management UI"
    )]
    Unreadable(lapin::Error),
    /// The broker refuses this user, or something that this user may not do. Trying again helps when somebody has granted it.
    #[error("RabbitMQ refuses: {reason}; {remedy}")]
    Denied {
        /// The AMQP reply code.
        code: u16,
        /// The broker's own words.
        reason: String,
        /// What is missing, and how to grant it.
        remedy: String,
    },
    /// An exchange or queue exists and is another than it must be. Trying again helps when somebody has mended it.
    #[error("the topology is spoiled: {0}; see all differences and what to do: payrelay topology check")]
    Spoiled(lapin::Error),
    /// The broker did not answer in time; try again later.
    #[error("RabbitMQ did not answer within {} s ({what})", after.as_secs())]
    Timeout {
        /// What was asked of it.
        what: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
}

impl Error {
    /// The AMQP reply code with which the broker refused, as 404 (there is no such thing) or 406 (it is different).
    pub fn reply_code(&self) -> Option<u16> {
        match self {
            Self::Broker(error) | Self::Spoiled(error) | Self::Unreadable(error) => reply_code(error),
            Self::Denied { code, .. } => Some(*code),
            Self::Url(_) | Self::Tls(_) | Self::Timeout { .. } => None,
        }
    }
}

/// Why nothing is known of a batch: any of its messages may have been published, or none. Publish it again.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// There is no connection; nothing was sent. Why there is none, as far as it is known.
    #[error("not connected to RabbitMQ{}", .0.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
    Disconnected(Option<String>),
    /// The broker takes no publishes for now (memory or disk alarm).
    #[error("RabbitMQ blocks publishers: {0}")]
    Blocked(String),
    /// Not all confirms came in time.
    #[error("RabbitMQ did not confirm within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The connection or the channel broke, or the broker refused what was published.
    #[error(transparent)]
    Broken(#[from] Error),
    /// A text of a message does not fit the protocol; nothing was sent, and trying again will not help.
    #[error("message cannot be encoded: {0}")]
    Invalid(String),
    /// The client's answers contradict what was published.
    #[error("confirms out of order: {0}")]
    Confused(String),
    /// The publisher was stopped.
    #[error("the publisher is stopped")]
    Stopped,
}

fn told(error: &lapin::Error) -> String {
    tls::told(error).unwrap_or_else(|| error.to_string())
}

pub(crate) fn reply_code(error: &lapin::Error) -> Option<u16> {
    let lapin::ErrorKind::ProtocolError(refusal) = error.kind() else { return None };
    Some(refusal.get_id())
}
