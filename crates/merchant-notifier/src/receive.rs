//! Taking events from the queues: every event becomes one notification, whatever comes twice.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use events::codec::{self, Incoming};
use events::{EventKey, EventType, MerchantId, PayEvent};
use messaging::{Delivery, Handler, HandlerError, Parked, Verdict, header};
use metrics::counter;
use service::TraceParent;
use storage::{Database, Error, Transaction};
use time::OffsetDateTime;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::store::intake::{self, Handled, NewNotification};
use crate::store::parked::{self, DeadLetter};
use crate::text::printable;
use crate::webhook;

const INVALID: &str = "invalid";
const UNKNOWN_MERCHANT: &str = "unknown_merchant";
const MAX_DETAIL_BYTES: usize = 2048;

/// The handler of all four queues.
#[derive(Debug, Clone)]
pub struct Receiver {
    database: Database,
    default_merchant: Option<MerchantId>,
    wake: Arc<Notify>,
}

/// A delivery, read.
#[derive(Debug)]
enum Reading {
    /// An event to tell its merchant.
    Event(Box<Event>),
    /// A bare order number: it carries no amount to report, and the full event will come.
    Skipped,
    /// What will never be understood.
    Refused { reason: &'static str, detail: String },
}

/// A snapshot and what is stored of it.
#[derive(Debug)]
struct Event {
    snapshot: PayEvent,
    key: EventKey,
    notification_id: Uuid,
    body: Vec<u8>,
    traceparent: Option<String>,
    upstream: bool,
}

impl Receiver {
    /// A receiver that writes to `database` and notifies `wake` after each commit. Bare order numbers belong to
    /// `default_merchant`.
    pub fn new(database: Database, default_merchant: Option<MerchantId>, wake: Arc<Notify>) -> Self {
        Self { database, default_merchant, wake }
    }

    fn read(&self, delivery: &Delivery, now: OffsetDateTime) -> Reading {
        let content_type = delivery.content_type.as_deref();
        let merchant = self.default_merchant.as_ref();
        let event = match codec::decode(content_type, &delivery.routing_key, &delivery.body, merchant) {
            Ok(Incoming::Event(event)) => *event,
            Ok(Incoming::Bare(bare)) => {
                tracing::info!(order_no = %bare.order_no, event_type = %bare.event_type, "bare order number skipped");
                return Reading::Skipped;
            }
            Err(error) => return Reading::Refused { reason: error.reason(), detail: error.to_string() },
        };
        if let Err(error) = event.check_clock(now) {
            return Reading::Refused { reason: INVALID, detail: error.to_string() };
        }
        match webhook::body(&event) {
            Ok(body) => Reading::Event(Box::new(Event {
                key: event.key(),
                notification_id: Uuid::now_v7(),
                body,
                traceparent: traceparent(delivery),
                upstream: is_upstream(delivery),
                snapshot: event,
            })),
            // A time outside the years that RFC 3339 can write.
            Err(error) => Reading::Refused { reason: INVALID, detail: error.to_string() },
        }
    }

    /// Writes a batch down in one transaction, and says which of its merchants are known; events of others leave no trace.
    async fn write(&self, events: &[&Event]) -> Result<HashSet<String>, Error> {
        self.database.transaction(|tx| Box::pin(async move { write(&tx, events).await })).await
    }
}

/// Read before it is kept, for nobody else has checked what a publisher wrote there.
fn traceparent(delivery: &Delivery) -> Option<String> {
    let text = delivery.headers.get(header::TRACEPARENT)?;
    TraceParent::parse(text).ok().map(|parent| parent.to_string())
}

fn is_upstream(delivery: &Delivery) -> bool {
    delivery.headers.get(header::SOURCE).is_none_or(|source| source != events::SOURCE)
}

async fn write(tx: &Transaction<'_>, events: &[&Event]) -> Result<HashSet<String>, Error> {
    let merchants: HashSet<&MerchantId> = events.iter().map(|event| &event.key.merchant_id).collect();
    let known = intake::known_merchants(tx, &merchants.into_iter().collect::<Vec<_>>()).await?;
    let events: Vec<&Event> =
        events.iter().copied().filter(|event| known.contains(event.key.merchant_id.as_str())).collect();
    // The first of a key makes the notification; the others in the batch are its duplicates.
    let mut firsts: HashMap<&EventKey, &Event> = HashMap::new();
    for event in &events {
        firsts.entry(&event.key).or_insert(event);
    }
    let new: Vec<NewNotification<'_>> = firsts
        .values()
        .map(|event| NewNotification {
            notification_id: event.notification_id,
            key: &event.key,
            event: &event.snapshot,
            body: &event.body,
            traceparent: event.traceparent.as_deref(),
        })
        .collect();
    let inserted = intake::insert_notifications(tx, &new).await?;
    let handled: Vec<Handled<'_>> = events
        .iter()
        .map(|event| Handled {
            event: &event.snapshot,
            applied: inserted.contains(&event.notification_id),
            upstream: event.upstream,
        })
        .collect();
    intake::insert_handled(tx, &handled).await?;
    fail::fail_point!("notifications::before_commit", |_| std::process::abort());
    Ok(known)
}

impl Handler for Receiver {
    async fn handle(&self, batch: &[Delivery]) -> Result<Vec<Verdict>, HandlerError> {
        let now = OffsetDateTime::now_utc();
        let readings: Vec<Reading> = batch.iter().map(|delivery| self.read(delivery, now)).collect();
        let events: Vec<&Event> = readings
            .iter()
            .filter_map(|reading| match reading {
                Reading::Event(event) => Some(&**event),
                _ => None,
            })
            .collect();
        let known = if events.is_empty() {
            HashSet::new()
        } else {
            self.write(&events).await.map_err(|error| handler_error(&error))?
        };
        if !known.is_empty() {
            fail::fail_point!("notifications::after_commit", |_| std::process::abort());
            self.wake.notify_one();
        }
        Ok(readings.into_iter().map(|reading| verdict(reading, &known)).collect())
    }

    async fn park(&self, parked: &Parked<'_>) -> Result<(), HandlerError> {
        let delivery = parked.delivery;
        let reading = self.read(delivery, OffsetDateTime::now_utc());
        let event = match &reading {
            Reading::Event(event) => Some(&event.snapshot),
            _ => None,
        };
        let letter = DeadLetter {
            queue: &delivery.queue,
            message_key: &printable(&delivery.identity(), usize::MAX),
            event_id: event.map(|event| event.event_id.0),
            occurred_at: event.map(|event| event.occurred_at),
            event_type: delivery.routing_key.parse::<EventType>().ok(),
            merchant_id: event.map(|event| event.order.merchant_id.as_str()),
            order_no: event.map(|event| event.order.order_no.as_str()),
            upstream: is_upstream(delivery),
            reason: parked.reason,
            detail: &printable(parked.detail, MAX_DETAIL_BYTES),
            attempts: parked.attempts,
        };
        let client = self.database.client().await.map_err(|error| handler_error(&error))?;
        parked::park(&client, &letter).await.map_err(|error| handler_error(&error))
    }

    async fn ready(&self) -> bool {
        self.database.ping().await.is_ok()
    }
}

fn handler_error(error: &Error) -> HandlerError {
    if error.is_outage() {
        HandlerError::Outage(error.to_string())
    } else {
        HandlerError::Rejected(error.to_string())
    }
}

fn verdict(reading: Reading, known: &HashSet<String>) -> Verdict {
    match reading {
        Reading::Skipped => {
            counter!("payrelay_notifier_skipped_total").increment(1);
            Verdict::Done
        }
        Reading::Refused { reason, detail } => Verdict::DeadLetter { reason: reason.to_owned(), detail },
        Reading::Event(event) if known.contains(event.key.merchant_id.as_str()) => Verdict::Done,
        Reading::Event(event) => Verdict::DeadLetter {
            reason: UNKNOWN_MERCHANT.to_owned(),
            detail: format!("merchant {} has no endpoint; add it and replay", event.key.merchant_id),
        },
    }
}
