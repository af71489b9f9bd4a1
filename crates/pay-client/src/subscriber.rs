//! Consuming events from queues of one's own.

use std::sync::Arc;

use events::codec::{self, DecodeError, Incoming};
use events::{EventKey, EventType, MerchantId, PayEvent};
use futures_util::future::join_all;
use messaging::{
    Consumer, ConsumerQueue, ConsumerStatus, Delivery, HandlerError, ParkedDelivery, RetryDelays, Verdict,
    header,
};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::name::{ConfigError, broker};

/// An event as a handler gets it.
#[derive(Debug, Clone)]
pub struct Received {
    /// What happened, and the pay order after it.
    pub event: PayEvent,
    /// What makes two events the same fact, whatever their ids, as `shop-1/10001/P17/pay.success/0`: merchant, order, pay
    /// order, type, refunded amount. At most 255 ASCII characters. Store it under a unique index, in the transaction of the effect.
    pub key: String,
    /// Who published it: `/payrelay/ingress`, another service's name, or nothing.
    pub source: Option<String>,
    /// The W3C trace that it belongs to.
    pub traceparent: Option<String>,
    /// How often it was handled in vain before.
    pub attempts: u32,
}

/// What a service does with events. Must be safe to repeat: an event comes again whenever an acknowledgement is lost.
pub trait Handler: Send + Sync + 'static {
    /// Handles a batch, best in one transaction, and returns one verdict for each event, in their order.
    ///
    /// # Errors
    /// [`HandlerError::Outage`] when what it depends on is away: nothing is lost or counted, the subscription waits until
    /// [`Handler::ready`]. [`HandlerError::Rejected`] when the batch failed: its events are handled one by one, and what
    /// fails alone is retried later.
    fn handle(&self, batch: &[Received]) -> impl Future<Output = Result<Vec<Verdict>, HandlerError>> + Send;

    /// Whether what it depends on is there. Asked before subscribing, and during an outage.
    fn ready(&self) -> impl Future<Output = bool> + Send {
        async { true }
    }
}

/// A subscription to events of some types, each by a queue of one's own, `{name}.{type}.queue`, with a dead-letter queue
/// `{queue}.dlq`. Replicas of a service share the queues.
#[derive(Debug, Clone)]
pub struct Subscriber {
    consumers: Vec<Consumer>,
}

/// Whether a subscriber is subscribed, for the readiness of a service. Clones share it.
#[derive(Debug, Clone)]
pub struct Subscriptions(Vec<ConsumerStatus>);

impl Subscriptions {
    /// Whether events of all types would be taken now.
    pub fn are_there(&self) -> bool {
        self.0.iter().all(ConsumerStatus::is_subscribed)
    }
}

impl Subscriber {
    /// `name` is the service's own, as `risk`; `retry` are the delays of the shared retry queues, as payrelay's
    /// `PAYRELAY_RETRY_DELAYS`. Connects only when it is run.
    pub fn new(
        amqp_url: &str,
        name: &str,
        event_types: &[EventType],
        retry: &RetryDelays,
    ) -> Result<Self, ConfigError> {
        let broker = broker(amqp_url, name)?;
        let repeated = |(i, event_type): (usize, &EventType)| event_types[..i].contains(event_type);
        if event_types.is_empty() || event_types.iter().enumerate().any(repeated) {
            return Err(ConfigError::EventTypes(format!("{event_types:?}")));
        }
        let consumer = |event_type: &EventType| {
            let queue = ConsumerQueue::new(name, event_type.as_str());
            Consumer::new(broker.named(event_type.as_str()), queue, retry.clone())
        };
        Ok(Self { consumers: event_types.iter().map(consumer).collect() })
    }

    /// The same with at most so many events in one batch, instead of 200.
    #[must_use]
    pub fn with_batch(self, events: u16) -> Self {
        Self { consumers: self.consumers.into_iter().map(|consumer| consumer.with_batch(events)).collect() }
    }

    /// Tells whether it is subscribed.
    pub fn subscriptions(&self) -> Subscriptions {
        Subscriptions(self.consumers.iter().map(Consumer::status).collect())
    }

    /// Consumes until `cancel`: declares the queues, binds them, subscribes, and does so again whenever the connection
    /// breaks. Then it takes nothing more, finishes what is in hand, and returns.
    ///
    /// Events that cannot be read go to the dead-letter queue. Bare order numbers of older publishers carry no amount and
    /// are skipped.
    pub async fn run(self, handler: impl Handler, cancel: CancellationToken) {
        let handler = Arc::new(handler);
        let run = |consumer: Consumer| consumer.run(Decoding(handler.clone()), cancel.clone());
        join_all(self.consumers.into_iter().map(run)).await;
    }
}

/// Stands between the runtime, which knows messages, and a handler, which knows events.
struct Decoding<H>(Arc<H>);

impl<H: Handler> messaging::Handler for Decoding<H> {
    async fn handle(&self, batch: &[Delivery]) -> Result<Vec<Verdict>, HandlerError> {
        let now = OffsetDateTime::now_utc();
        let mut received = Vec::with_capacity(batch.len());
        let mut own = Vec::with_capacity(batch.len());
        for delivery in batch {
            own.push(match read(delivery, now) {
                Ok(Some(event)) => {
                    received.push(event);
                    None
                }
                Ok(None) => Some(Verdict::Done),
                Err(error) => {
                    let (reason, detail) = (error.reason().to_owned(), error.to_string());
                    Some(Verdict::DeadLetter { reason, detail })
                }
            });
        }
        let verdicts = if received.is_empty() { Vec::new() } else { self.0.handle(&received).await? };
        if verdicts.len() != received.len() {
            let detail = format!("{} verdicts for {} events", verdicts.len(), received.len());
            return Err(HandlerError::Rejected(detail));
        }
        let mut verdicts = verdicts.into_iter();
        Ok(own.into_iter().filter_map(|own| own.or_else(|| verdicts.next())).collect())
    }

    /// The message itself, with the reason in its headers, is record enough.
    async fn park(&self, _: &ParkedDelivery<'_>) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn ready(&self) -> bool {
        self.0.ready().await
    }
}

/// The event in a message; `None` in a bare order number.
fn read(delivery: &Delivery, now: OffsetDateTime) -> Result<Option<Received>, DecodeError> {
    // A bare order number is recognised whoever it belongs to.
    let anybody = MerchantId::parse("anybody")?;
    let content_type = delivery.content_type.as_deref();
    let event = match codec::decode(content_type, &delivery.routing_key, &delivery.body, Some(&anybody))? {
        Incoming::Event(event) => *event,
        Incoming::Bare(bare) => {
            tracing::info!(order_no = %bare.order_no, event_type = %bare.event_type, "bare order number skipped");
            return Ok(None);
        }
    };
    event.check_clock(now)?;
    let text = |name: &str| delivery.headers.get(name).cloned();
    Ok(Some(Received {
        key: key_text(&event.key()),
        event,
        source: text(header::SOURCE),
        traceparent: text(header::TRACEPARENT),
        attempts: delivery.attempts,
    }))
}

/// Identifiers hold no `/`, so that different keys differ as texts, too.
fn key_text(key: &EventKey) -> String {
    let EventKey { merchant_id, order_no, pay_order_no, event_type, seq } = key;
    format!("{merchant_id}/{order_no}/{pay_order_no}/{event_type}/{seq}")
}
