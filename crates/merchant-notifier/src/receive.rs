//! Taking events from the queues: every event becomes one notification, whatever comes twice.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use events::codec::{self, Incoming};
use events::{EventId, EventKey, EventType, MerchantId, PayEvent};
use messaging::{Delivery, Handler, HandlerError, ParkedDelivery, Verdict, header};
use metrics::counter;
use service::TraceParent;
use storage::{Database, Error, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::dispatch::{Attempts, Place};
use crate::store::intake::{self, Destination, Handled, NewNotification};
use crate::store::leases::{Claimed, LEASE};
use crate::store::parked::{self, DeadLetter};
use crate::text::printable;
use crate::webhook;

const INVALID: &str = "invalid";
const UNKNOWN_MERCHANT: &str = "unknown_merchant";
const MAX_DETAIL_BYTES: usize = 2048;
/// The version of a pay order at its first event: the change that follows its making.
const FIRST_VERSION: i64 = 2;

/// The handler of all four queues.
#[derive(Debug, Clone)]
pub struct Receiver {
    database: Database,
    default_merchant_id: Option<MerchantId>,
    attempts: Attempts,
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

/// What a batch has left in the database.
#[derive(Debug)]
struct Written {
    /// The merchants that are known; events of others leave no trace.
    known: HashMap<MerchantId, Destination>,
    /// New notifications, with the end of the lease where one was taken.
    made: HashMap<Uuid, Option<OffsetDateTime>>,
}

/// What notifications of a batch are leased with, so that they are sent as soon as they are committed.
#[derive(Debug)]
struct Leasing {
    token: Uuid,
    since: Instant,
    /// By notification: there is no lease without a place for its attempt.
    places: HashMap<Uuid, Place>,
}

impl Receiver {
    /// A receiver that writes to `database`, and after each commit starts `attempts` of what there is a place for. Bare order
    /// numbers belong to `default_merchant_id`.
    pub fn new(database: Database, default_merchant_id: Option<MerchantId>, attempts: Attempts) -> Self {
        Self { database, default_merchant_id, attempts }
    }

    fn read(&self, delivery: &Delivery, now: OffsetDateTime) -> Reading {
        let content_type = delivery.content_type.as_deref();
        let merchant = self.default_merchant_id.as_ref();
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

    /// Writes a batch down in one transaction, then starts the attempts of what it has made; the merchants that are known.
    async fn write(&self, events: &[&Event]) -> Result<HashMap<MerchantId, Destination>, Error> {
        let mut leasing = self.leasing(events);
        let leased = &leasing;
        let attempt = |careful| {
            self.database
                .transaction(move |tx| Box::pin(async move { write(&tx, events, leased, careful).await }))
        };
        let written = match attempt(false).await {
            // Perhaps by the log alone: an event id that was used before, or an event that is older than the log.
            Err(error @ Error::Rejected(_)) => {
                tracing::debug!(%error, "a batch is written once more, with care");
                attempt(true).await?
            }
            written => written?,
        };
        fail::fail_point!("notifications::after_commit", |_| std::process::abort());
        for event in events {
            let Some(lease_until) = written.made.get(&event.notification_id) else { continue };
            match (lease_until, leasing.places.remove(&event.notification_id)) {
                (Some(lease_until), Some(place)) => {
                    if let Some(claimed) = claimed(event, &written.known, &leasing, *lease_until) {
                        self.attempts.start(claimed, Some(place));
                    }
                }
                _ => self.attempts.queue_for_claim(&event.key.merchant_id),
            }
        }
        Ok(written.known)
    }

    /// Places for what may be new and is the first that there can be of its pay order. What may have to wait for a lower
    /// version is left to a claim, which sees what other consumers have committed meanwhile.
    fn leasing(&self, events: &[&Event]) -> Leasing {
        let (token, since) = (Uuid::new_v4(), Instant::now());
        let mut seen = HashSet::new();
        let firsts = events.iter().filter(|event| {
            event.snapshot.order.version <= FIRST_VERSION
                && seen.insert((&event.key.merchant_id, &event.key.pay_order_no))
        });
        let place = |event: &&Event| {
            Some((event.notification_id, self.attempts.place_for_new(&event.key.merchant_id)?))
        };
        Leasing { token, since, places: firsts.filter_map(place).collect() }
    }
}

/// What is to be sent of `event`, leased until then.
fn claimed(
    event: &Event,
    known: &HashMap<MerchantId, Destination>,
    leasing: &Leasing,
    lease_until: OffsetDateTime,
) -> Option<Claimed> {
    let destination = known.get(&event.key.merchant_id)?;
    let own_url = event.snapshot.order.notify_url.clone();
    Some(Claimed {
        notification_id: event.notification_id,
        lease_token: leasing.token,
        claimed_at: leasing.since,
        lease_until,
        merchant_id: event.key.merchant_id.clone(),
        due_at: lease_until - LEASE,
        order_no: event.key.order_no.clone(),
        pay_order_no: event.key.pay_order_no.clone(),
        own_url: own_url.is_some(),
        url: own_url.or_else(|| destination.url.clone())?,
        ack: destination.ack,
        ladder: destination.ladder.clone(),
        format: destination.format,
        sealed_keyring: destination.sealed_keyring.clone(),
        body: event.body.clone(),
        traceparent: event.traceparent.clone(),
        attempt: 1,
        ladder_attempt: 1,
    })
}

/// Read before it is kept, for nobody else has checked what a publisher wrote there.
fn traceparent(delivery: &Delivery) -> Option<String> {
    let text = delivery.headers.get(header::TRACEPARENT)?;
    TraceParent::parse(text).ok().map(|parent| parent.to_string())
}

fn is_upstream(delivery: &Delivery) -> bool {
    delivery.headers.get(header::SOURCE).is_none_or(|source| source != events::SOURCE)
}

/// Unless it is `careful`, events that are all told of for the first time are taken for new to the log, which rejects what is
/// not.
async fn write(
    tx: &Transaction<'_>,
    events: &[&Event],
    leasing: &Leasing,
    careful: bool,
) -> Result<Written, Error> {
    let merchants: HashSet<&MerchantId> = events.iter().map(|event| &event.key.merchant_id).collect();
    let known = intake::destinations(tx, &merchants.into_iter().collect::<Vec<_>>()).await?;
    let events: Vec<&Event> =
        events.iter().copied().filter(|event| known.contains_key(&event.key.merchant_id)).collect();
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
            lease: leasing.places.contains_key(&event.notification_id),
        })
        .collect();
    let made = intake::insert_notifications(tx, &new, leasing.token).await?;
    let repeated = firsts.values().filter(|event| !made.contains_key(&event.notification_id));
    let repeated: Vec<(EventId, &EventKey)> =
        repeated.map(|event| (event.snapshot.event_id, &event.key)).collect();
    let notification_ids = intake::notification_ids(tx, &repeated).await?;
    let handled: Vec<Handled<'_>> = events
        .iter()
        .map(|event| {
            let first = firsts.get(&event.key).unwrap_or(event);
            let made_of_it = made.contains_key(&first.notification_id).then_some(first.notification_id);
            Handled {
                event: &event.snapshot,
                notification_id: made_of_it
                    .or_else(|| notification_ids.get(&first.snapshot.event_id).copied()),
                applied: made.contains_key(&event.notification_id),
                upstream: event.upstream,
            }
        })
        .collect();
    let careful = careful || handled.iter().any(|handled| !handled.applied);
    intake::insert_handled(tx, &handled, careful).await?;
    fail::fail_point!("notifications::before_commit", |_| std::process::abort());
    Ok(Written { known, made })
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
            HashMap::new()
        } else {
            self.write(&events).await.map_err(|error| handler_error(&error))?
        };
        Ok(readings.into_iter().map(|reading| verdict(reading, &known)).collect())
    }

    async fn park(&self, parked: &ParkedDelivery<'_>) -> Result<(), HandlerError> {
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

fn verdict(reading: Reading, known: &HashMap<MerchantId, Destination>) -> Verdict {
    match reading {
        Reading::Skipped => {
            counter!("payrelay_notifier_skipped_total").increment(1);
            Verdict::Done
        }
        Reading::Refused { reason, detail } => Verdict::DeadLetter { reason: reason.to_owned(), detail },
        Reading::Event(event) if known.contains_key(&event.key.merchant_id) => Verdict::Done,
        Reading::Event(event) => Verdict::DeadLetter {
            reason: UNKNOWN_MERCHANT.to_owned(),
            detail: format!("merchant {} has no endpoint; add it and replay", event.key.merchant_id),
        },
    }
}
