//! Publishing events to `pay.direct`.

use events::PayEvent;
use events::codec::{self, DecodeError};
use messaging::{Event, Message, PublishOutcome, RetryDelays, Topology};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::name::{ConfigError, broker};

/// What became of an event that was not published, or not certainly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Every consumer would dead-letter it; it was not sent. Mend the event.
    #[error("not published, for consumers would refuse it: {0}")]
    Invalid(String),
    /// No queue is bound for its type: it is nowhere. Somebody must start or bind a consumer; publish it again then.
    #[error("not published, for no queue takes it: {0}")]
    Unroutable(String),
    /// A queue refused it, as a full one; other queues may have it. Publish it again, and slower.
    #[error("a queue refused it")]
    Refused,
    /// The broker is away, takes no publishes, or did not confirm: it may have been published or not. Publish it again.
    #[error("not confirmed: {0}")]
    Unconfirmed(String),
    /// The runtime that the publisher was made in has ended.
    #[error("the publisher is stopped")]
    Stopped,
}

impl PublishError {
    /// Whether to publish the same event again, unchanged, later. That it may come twice does no harm: whoever has it already
    /// knows it by its key.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unroutable(_) | Self::Refused | Self::Unconfirmed(_) => true,
            Self::Invalid(_) | Self::Stopped => false,
        }
    }
}

/// Publishes events, persistent, mandatory and confirmed. Clones share one connection, which is made anew whenever it
/// breaks and closed when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Publisher {
    task: messaging::Publisher,
    source: String,
    traceparent: Option<String>,
}

impl Publisher {
    /// Connects in the background, within a tokio runtime. `name` is the service's own, as `billing`: connections are shown
    /// under it, and it is the events' source (`/billing`).
    ///
    /// # Errors
    /// [`ConfigError`] only: a broker that is away is waited for.
    pub fn new(amqp_url: &str, name: &str) -> Result<Self, ConfigError> {
        let task = messaging::Publisher::spawn(broker(amqp_url, name)?, CancellationToken::new());
        Ok(Self::of(task, name))
    }

    /// The same, but makes the queues of payrelay's own consumers on every connection before it publishes anything, as payrelay
    /// itself does: a broker that comes back empty would else take an event for those queues alone that stand already.
    /// `retry` as payrelay's `PAYRELAY_RETRY_DELAYS`. While the user may not declare them, or one stands otherwise, nothing is
    /// published ([`PublishError::Unconfirmed`]).
    pub fn declaring(amqp_url: &str, name: &str, retry: &RetryDelays) -> Result<Self, ConfigError> {
        let (broker, topology) = (broker(amqp_url, name)?, Topology::payrelay(retry));
        let task = messaging::Publisher::spawn_declaring(broker, topology, CancellationToken::new());
        Ok(Self::of(task, name))
    }

    fn of(task: messaging::Publisher, name: &str) -> Self {
        Self { task, source: format!("/{name}"), traceparent: None }
    }

    /// The same connection for events of this W3C `traceparent`.
    #[must_use]
    pub fn traced(&self, traceparent: &str) -> Self {
        Self { traceparent: Some(traceparent.to_owned()), ..self.clone() }
    }

    /// Publishes one event and returns when the broker has it, on disk, in every queue bound for its type. The answer comes in
    /// bounded time, whatever the broker does.
    ///
    /// # Errors
    /// See [`PublishError::is_retryable`].
    pub async fn publish(&self, event: &PayEvent) -> Result<(), PublishError> {
        let mut results = self.publish_all(std::slice::from_ref(event)).await;
        results.pop().unwrap_or(Err(PublishError::Stopped))
    }

    /// Publishes a batch, which takes hardly longer than one event. One result for each, in their order: those that failed for
    /// a while may be published again by themselves.
    pub async fn publish_all(&self, events: &[PayEvent]) -> Vec<Result<(), PublishError>> {
        let now = OffsetDateTime::now_utc();
        let messages: Vec<_> = events.iter().map(|event| self.message(event, now)).collect();
        let valid: Vec<_> = messages.iter().filter_map(|message| message.as_ref().ok().cloned()).collect();
        let published = if valid.is_empty() { Ok(Vec::new()) } else { self.task.publish(valid).await };
        let mut outcomes = published.map(Vec::into_iter).map_err(unknown);
        let result = |message: Result<Message, PublishError>| {
            message?;
            match &mut outcomes {
                Ok(outcomes) => told(outcomes.next()),
                Err(error) => Err(error.clone()),
            }
        };
        messages.into_iter().map(result).collect()
    }

    /// What is sent. Read back as consumers read it, so that nothing is sent which they would refuse.
    fn message(&self, event: &PayEvent, now: OffsetDateTime) -> Result<Message, PublishError> {
        let kind = event.event_type.as_str();
        let body = codec::encode_protobuf(event);
        codec::decode(Some(codec::PROTOBUF), kind, &body, None).map_err(|error| invalid(&error))?;
        event.check_clock(now).map_err(|error| invalid(&error.into()))?;
        Ok(Message::from(Event {
            id: event.event_id.to_string(),
            source: &self.source,
            event_type: kind,
            subject: event.order.pay_order_no.as_str(),
            occurred_at: event.occurred_at,
            traceparent: self.traceparent.as_deref(),
            tracestate: None,
            content_type: codec::PROTOBUF,
            body: body.into(),
        }))
    }
}

fn invalid(error: &DecodeError) -> PublishError {
    PublishError::Invalid(error.to_string())
}

fn told(outcome: Option<PublishOutcome>) -> Result<(), PublishError> {
    match outcome {
        Some(PublishOutcome::Confirmed) => Ok(()),
        Some(PublishOutcome::Returned { reason }) => Err(PublishError::Unroutable(reason)),
        Some(PublishOutcome::Nacked) => Err(PublishError::Refused),
        None => Err(PublishError::Unconfirmed("no outcome".to_owned())),
    }
}

fn unknown(error: messaging::PublishError) -> PublishError {
    match error {
        messaging::PublishError::Stopped => PublishError::Stopped,
        messaging::PublishError::Invalid(detail) => PublishError::Invalid(detail),
        other => PublishError::Unconfirmed(other.to_string()),
    }
}
