//! What callers did and were told, and what was seen in the end: the two sides that the checker compares.

use std::collections::BTreeMap;

use time::OffsetDateTime;

/// What a caller was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// That it is done.
    Acknowledged,
    /// That it cannot be, with this answer.
    Refused(String),
    /// Nothing before the caller gave up: it may have happened or not, now or later, but not twice.
    Unknown,
}

/// What a channel, or an upstream, says of a pay order; and a close, which its merchant asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    /// Paid in full.
    Success,
    /// Not paid.
    Failure,
    /// So much of it was refunded in all, in minor units.
    Refund(i64),
    /// Not to be paid any more.
    Close,
}

/// A fact told, repeated until its caller knew or gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) fact: Fact,
    pub(crate) outcome: Outcome,
}

/// By which way a payment comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Callbacks of a channel, about a pay order of the ingress.
    Channel,
    /// An event of another publisher. The ingress does not know of it.
    Upstream,
    /// The same about an order that does not exist: told to the merchant and dead-lettered.
    Stranger,
}

/// One order and everything that its callers did. Calls are in the order of their beginning.
#[derive(Debug, Clone)]
pub(crate) struct Payment {
    pub(crate) source: Source,
    pub(crate) merchant_id: String,
    pub(crate) order_no: String,
    /// `None` if no caller came to know it; then there are no calls.
    pub(crate) pay_order_no: Option<String>,
    /// Every payment has another, so that a mix-up shows.
    pub(crate) amount_minor: i64,
    pub(crate) calls: Vec<Call>,
    /// What its callers were refused before there was anything to pay.
    pub(crate) trouble: Vec<String>,
}

/// A message that must end in dead-letter queues.
#[derive(Debug, Clone)]
pub(crate) struct Poison {
    pub(crate) message_id: String,
    pub(crate) outcome: Outcome,
    /// The dead-letter queues and the reason in each.
    pub(crate) expected: Vec<(&'static str, &'static str)>,
}

impl Poison {
    /// What it must become.
    pub(crate) fn dead_letters(&self) -> impl Iterator<Item = SeenDeadLetter> {
        self.expected.iter().map(|(queue, reason)| SeenDeadLetter {
            queue: (*queue).to_owned(),
            message_id: self.message_id.clone(),
            reason: (*reason).to_owned(),
        })
    }
}

/// Everything that callers did.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) payments: Vec<Payment>,
    pub(crate) poison: Vec<Poison>,
}

/// An order as the order service shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenOrder {
    pub(crate) status: String,
    pub(crate) refunded_minor: i64,
    pub(crate) paid_by: Option<String>,
    /// The amounts of its parts.
    pub(crate) split_minor: Vec<i64>,
}

/// A pay order as the ingress shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenPayOrder {
    pub(crate) status: String,
    pub(crate) refunded_minor: i64,
}

/// One attempt at a webhook, as its merchant got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenWebhook {
    pub(crate) id: String,
    pub(crate) pay_order_no: String,
    pub(crate) event_type: String,
    pub(crate) refunded_minor: i64,
    pub(crate) amount_minor: i64,
    pub(crate) version: i64,
    pub(crate) is_acknowledged: bool,
    pub(crate) at: OffsetDateTime,
}

/// What was seen of one order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) order: Option<SeenOrder>,
    pub(crate) pay_order: Option<SeenPayOrder>,
    /// In the order of their arrival.
    pub(crate) webhooks: Vec<SeenWebhook>,
}

/// A message in a dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SeenDeadLetter {
    pub(crate) queue: String,
    pub(crate) message_id: String,
    pub(crate) reason: String,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// By order number.
    pub(crate) orders: BTreeMap<String, Seen>,
    pub(crate) dead_letters: Vec<SeenDeadLetter>,
    /// Webhooks that did not verify.
    pub(crate) forged: Vec<String>,
}
