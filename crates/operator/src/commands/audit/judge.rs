//! Where an event stands that has not gone all the way, and why. Pure.

use std::{collections::HashMap, time::Duration};

use admin_api::audit::{Entry, Eventless, Stage};
use events::{EventId, EventType};
use serde::Serialize;
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EventStanding {
    /// A callback has changed its pay order, and its event is in no table.
    EventMissing,
    /// Committed, not confirmed by the broker.
    NotPublished,
    /// Published a while ago: on its way, or in a retry queue.
    Retrying,
    /// Published longer ago than any retry takes, and nowhere.
    Missing,
    /// At a consumer, though the ingress does not know it.
    Unexpected,
    /// Its webhook is still to be acknowledged.
    Pending,
    /// Given up by the notifier, with a reason.
    Parked,
    /// Dead-lettered by a consumer, with a reason.
    DeadLetter,
}

impl EventStanding {
    /// Whether somebody has taken note of it: nothing more will happen to it by itself, and nothing is lost.
    pub(super) const fn is_explained(self) -> bool {
        matches!(self, Self::Parked | Self::DeadLetter)
    }

    /// Whether nobody knows where it is.
    pub(super) const fn is_missing(self) -> bool {
        matches!(self, Self::EventMissing | Self::Missing | Self::Unexpected)
    }

    /// As people read it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::EventMissing => "event missing",
            Self::NotPublished => "not published",
            Self::Retrying => "retrying",
            Self::Missing => "missing",
            Self::Unexpected => "unexpected",
            Self::Pending => "pending",
            Self::Parked => "parked",
            Self::DeadLetter => "dead letter",
        }
    }
}

/// An event that has not gone all the way. One that neither consumer has done with is two findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct AuditFinding {
    /// The event's own time; of a callback without an event, its arrival.
    #[serde(with = "time::serde::rfc3339")]
    pub(super) occurred_at: OffsetDateTime,
    /// `None` for a callback without an event.
    #[serde(rename = "type")]
    pub(super) event_type: Option<EventType>,
    pub(super) event_id: Option<EventId>,
    pub(super) merchant_id: Option<String>,
    pub(super) order_no: Option<String>,
    pub(super) pay_order_no: Option<String>,
    /// At which service it stands.
    pub(super) service: &'static str,
    pub(super) stage: EventStanding,
    pub(super) why: String,
}

/// Our own events of a minute and type, as the services hold them.
#[derive(Debug, Default)]
pub(super) struct HeldEvents {
    /// `None` if only single stages of a consumer were asked for.
    pub(super) ingress: Option<Vec<Entry>>,
    pub(super) order_service: Vec<Entry>,
    pub(super) notifier: Vec<Entry>,
}

const INGRESS: &str = "ingress";
const ORDER_SERVICE: &str = "order-service";
const NOTIFIER: &str = "merchant-notifier";

/// The finding of a callback without an event.
pub(super) fn eventless(callback: Eventless) -> AuditFinding {
    AuditFinding {
        occurred_at: callback.received_at,
        event_type: None,
        event_id: None,
        merchant_id: callback.merchant_id,
        order_no: callback.order_no,
        pay_order_no: Some(callback.pay_order_no),
        service: INGRESS,
        stage: EventStanding::EventMissing,
        why: format!(
            "a callback of {} has changed the pay order, and the event that was committed with it is gone",
            callback.account
        ),
    }
}

/// What is to be said of these events.
pub(super) fn judge(
    event_type: EventType,
    held: &HeldEvents,
    now: OffsetDateTime,
    retries: Duration,
) -> Vec<AuditFinding> {
    let mut findings = Vec::new();
    let mut say = |entry: &Entry, known: Option<&Entry>, service, (stage, why)| {
        // Not every service knows every number.
        let either = |of: fn(&Entry) -> &Option<String>| of(entry).clone().or_else(|| of(known?).clone());
        findings.push(AuditFinding {
            occurred_at: entry.occurred_at,
            event_type: Some(event_type),
            event_id: Some(entry.event_id),
            merchant_id: either(|entry| &entry.merchant_id),
            order_no: either(|entry| &entry.order_no),
            pay_order_no: either(|entry| &entry.pay_order_no),
            service,
            stage,
            why,
        });
    };
    let ingress: HashMap<_, _> = held.ingress.iter().flatten().map(|entry| (entry.event_id, entry)).collect();
    for entry in held.ingress.iter().flatten().filter(|entry| entry.stage == Stage::Committed) {
        say(entry, None, INGRESS, (EventStanding::NotPublished, in_outbox(entry, event_type, now)));
    }
    for (service, entries) in [(ORDER_SERVICE, &held.order_service), (NOTIFIER, &held.notifier)] {
        let known: HashMap<_, _> = entries.iter().map(|entry| (entry.event_id, entry)).collect();
        let expected = held.ingress.iter().flatten().filter(|entry| entry.stage == Stage::Published);
        for entry in expected.filter(|entry| !known.contains_key(&entry.event_id)) {
            say(entry, None, service, not_there(entry, now, retries));
        }
        for entry in entries {
            let committed = ingress.get(&entry.event_id).copied();
            if held.ingress.is_some() && committed.is_none() {
                let why = "known here, and never committed by the ingress".to_owned();
                say(entry, None, service, (EventStanding::Unexpected, why));
            } else if let Some(standing) = standing(entry, now) {
                say(entry, committed, service, standing);
            }
        }
    }
    findings
}

fn in_outbox(entry: &Entry, event_type: EventType, now: OffsetDateTime) -> String {
    let age = age(now - entry.occurred_at);
    match (entry.attempts.unwrap_or_default(), entry.next_attempt_at) {
        (0, _) | (_, None) => format!("in the outbox for {age}"),
        (times, Some(next)) => format!(
            "in the outbox for {age}: returned by the broker {times} times, for no queue is bound to {event_type}; \
             next try {}",
            text(next)
        ),
    }
}

fn not_there(entry: &Entry, now: OffsetDateTime, retries: Duration) -> (EventStanding, String) {
    let since = now - entry.occurred_at;
    if since <= retries {
        let why = format!("committed {} ago and published: on its way, or in a retry queue", age(since));
        return (EventStanding::Retrying, why);
    }
    let why = format!(
        "published, neither handled nor parked {} after its commit: lost, or behind others in its queue",
        age(since)
    );
    (EventStanding::Missing, why)
}

/// Of what a consumer holds, what is not done with.
fn standing(entry: &Entry, now: OffsetDateTime) -> Option<(EventStanding, String)> {
    let attempts = entry.attempts.unwrap_or_default();
    match entry.stage {
        Stage::Pending => {
            let due = match entry.next_attempt_at {
                Some(next) if next > now => format!("next {}", text(next)),
                Some(next) => format!("due since {}", text(next)),
                None => "due".to_owned(),
            };
            Some((EventStanding::Pending, format!("{attempts} failed attempts, {due}")))
        }
        Stage::Parked => {
            let reason = entry.reason.as_deref().unwrap_or("no reason");
            let detail = entry.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
            let why = format!("{reason}{detail} ({attempts} attempts)");
            Some(match &entry.queue {
                Some(queue) => (EventStanding::DeadLetter, format!("{queue}.dlq: {why}")),
                None => (EventStanding::Parked, why),
            })
        }
        _ => None,
    }
}

fn text(time: OffsetDateTime) -> String {
    let seconds = time.to_offset(UtcOffset::UTC).replace_nanosecond(0).unwrap_or(time);
    seconds.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}

/// Roughly.
fn age(duration: time::Duration) -> String {
    match duration.whole_seconds() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests;
