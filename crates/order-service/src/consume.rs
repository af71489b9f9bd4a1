//! The consumer of the events of pay orders.

use events::codec::{self, DecodeError, Incoming};
use events::{EventType, MerchantId, SOURCE};
use messaging::{Delivery, Handler, HandlerError, Verdict, header};
use service::TraceParent;
use storage::{Database, Error};
use time::OffsetDateTime;

use crate::apply::apply;
use crate::decide::MessageRefusal;
use crate::fold::{self, MessageOutcome};
use crate::metric_table::UNKNOWN_TYPE;
use crate::store::Origin;
use crate::store::parked::{self, Parked, Subject};

/// Applies messages of `pay.direct` to orders.
#[derive(Debug, Clone)]
pub struct PayEvents {
    database: Database,
    default_merchant_id: Option<MerchantId>,
}

impl PayEvents {
    /// `default_merchant_id` is whose orders bare order numbers name; without one they are dead-lettered.
    pub fn new(database: Database, default_merchant_id: Option<MerchantId>) -> Self {
        Self { database, default_merchant_id }
    }

    fn decode(&self, delivery: &Delivery) -> Result<Incoming, DecodeError> {
        let content_type = delivery.content_type.as_deref();
        codec::decode(content_type, &delivery.routing_key, &delivery.body, self.default_merchant_id.as_ref())
    }

    /// The message, unless it never can be applied.
    fn accept(&self, delivery: &Delivery, now: OffsetDateTime) -> Result<Incoming, MessageRefusal> {
        let message = self
            .decode(delivery)
            .map_err(|error| MessageRefusal { reason: error.reason(), detail: error.to_string() })?;
        if let Incoming::Event(event) = &message {
            event
                .check_clock(now)
                .map_err(|error| MessageRefusal { reason: "invalid", detail: error.to_string() })?;
        }
        Ok(message)
    }

    async fn apply(
        &self,
        messages: &[&Incoming],
        origins: &[Origin],
    ) -> Result<Vec<MessageOutcome>, HandlerError> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let applied = apply(&self.database, messages, origins).await;
        fail::fail_point!("orders::after_commit", |_| std::process::abort());
        applied.map_err(|error| handler_error(&error))
    }
}

impl Handler for PayEvents {
    /// One transaction for the whole batch; what cannot be decoded takes no part in it.
    async fn handle(&self, batch: &[Delivery]) -> Result<Vec<Verdict>, HandlerError> {
        let now = OffsetDateTime::now_utc();
        let accepted: Vec<_> = batch.iter().map(|delivery| self.accept(delivery, now)).collect();
        let (mut messages, mut origins) = (Vec::new(), Vec::new());
        for (accepted, delivery) in accepted.iter().zip(batch) {
            if let Ok(message) = accepted {
                fail::fail_point!(&format!("orders::handle {}", fold::key(message).order_no), |_| {
                    std::process::abort()
                });
                messages.push(message);
                origins.push(origin(delivery));
            }
        }
        let mut outcomes = self.apply(&messages, &origins).await?.into_iter();
        let verdicts = accepted.iter().zip(batch).map(|(accepted, delivery)| match accepted {
            Ok(message) => {
                let outcome = outcomes.next().expect("each message that was applied has an outcome");
                verdict(delivery, Some(message), outcome)
            }
            Err(refusal) => verdict(delivery, None, MessageOutcome::Refused(refusal.clone())),
        });
        Ok(verdicts.collect())
    }

    async fn park(&self, letter: &messaging::ParkedDelivery<'_>) -> Result<(), HandlerError> {
        let delivery = letter.delivery;
        let parked = Parked {
            queue: delivery.queue.clone(),
            message_id: delivery.identity().into_owned(),
            reason: letter.reason.to_owned(),
            detail: letter.detail.to_owned(),
            attempts: letter.attempts.try_into().unwrap_or(i32::MAX),
            first_seen: delivery.first_seen,
            origin: origin(delivery),
            subject: self.decode(delivery).map(|message| subject(&message)).unwrap_or_default(),
            parked_at: letter.parked_at,
        };
        parked::insert(&self.database, &parked).await.map_err(|error| handler_error(&error))
    }

    async fn ready(&self) -> bool {
        self.database.ping().await.is_ok()
    }
}

fn verdict(delivery: &Delivery, message: Option<&Incoming>, outcome: MessageOutcome) -> Verdict {
    // A label must be one of few: a key that names no type is a publisher's own.
    let event_type = delivery.routing_key.parse::<EventType>().map_or(UNKNOWN_TYPE, EventType::as_str);
    let name = match &outcome {
        MessageOutcome::Applied => "applied",
        MessageOutcome::Duplicate => "duplicate",
        MessageOutcome::NotMine => "not_mine",
        MessageOutcome::UnknownOrder => "unknown_order",
        MessageOutcome::Refused(refusal) => refusal.reason,
    };
    metrics::counter!("payrelay_order_messages_total", "type" => event_type, "outcome" => name).increment(1);
    let about = message.map(|message| fold::key(message).to_string()).unwrap_or_default();
    match outcome {
        MessageOutcome::Applied | MessageOutcome::Duplicate | MessageOutcome::NotMine => Verdict::Done,
        MessageOutcome::UnknownOrder => Verdict::Retry { reason: name.to_owned(), detail: about },
        MessageOutcome::Refused(refusal) => {
            Verdict::DeadLetter { reason: name.to_owned(), detail: refusal.detail }
        }
    }
}

fn origin(delivery: &Delivery) -> Origin {
    let traceparent =
        delivery.headers.get(header::TRACEPARENT).and_then(|text| TraceParent::parse(text).ok());
    Origin {
        upstream: delivery.headers.get(header::SOURCE).is_none_or(|source| source != SOURCE),
        traceparent: traceparent.map(|traceparent| traceparent.to_string()),
    }
}

fn subject(message: &Incoming) -> Subject {
    let key = fold::key(message);
    let (event_type, event) = match message {
        Incoming::Event(event) => (event.event_type, Some(event)),
        Incoming::Bare(bare) => (bare.event_type, None),
    };
    Subject {
        event_type: Some(event_type.to_string()),
        merchant_id: Some(key.merchant_id.to_string()),
        order_no: Some(key.order_no.to_string()),
        pay_order_no: event.map(|event| event.order.pay_order_no.to_string()),
        event_id: event.map(|event| event.event_id.0),
        occurred_at: event.map(|event| event.occurred_at),
    }
}

fn handler_error(error: &Error) -> HandlerError {
    if error.is_outage() {
        HandlerError::Outage(error.to_string())
    } else {
        HandlerError::Rejected(error.to_string())
    }
}
