//! How a session ends.

use crate::{PublishError, PublishOutcome};

/// How a session ended in good order.
pub(super) enum End {
    /// It was told to stop, and has finished what it had in hand.
    Cancelled,
    /// What the handler depends on is away.
    Outage(String),
    /// The queue was deleted, or its node went away.
    Unsubscribed,
}

/// What breaks a session off: everything not acknowledged goes back to the queue.
#[derive(Debug, thiserror::Error)]
pub(super) enum Interruption {
    /// Not an error of the session: see [`End::Outage`].
    #[error("outage: {0}")]
    Outage(String),
    #[error("the copy of a message was not taken: {0:?}")]
    CopyRefused(PublishOutcome),
    #[error("the copy of a message was not published: {0}")]
    Copy(#[from] PublishError),
    #[error(transparent)]
    Broker(#[from] crate::Error),
}

impl From<lapin::Error> for Interruption {
    fn from(error: lapin::Error) -> Self {
        Self::Broker(error.into())
    }
}
