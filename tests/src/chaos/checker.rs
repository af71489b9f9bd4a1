//! The verdict, in the manner of Jepsen's queue checkers: what callers were told against what was seen. Pure.
//!
//! What was acknowledged must have its whole effect, once: on the pay order, on the order, at the merchant. What a caller never
//! heard the end of may have happened, but then as a whole, and once. Nothing else may be there.

mod order;
mod webhooks;

use std::collections::BTreeSet;

use crate::history::{
    Call, Evidence, Fact, History, Outcome, Payment, Poison, Seen, SeenPayOrder, SeenWebhook, Source,
};
pub(crate) use webhooks::Overtaking;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Or the id of a message.
    pub(crate) order_no: String,
    pub(crate) what: String,
}

/// What became of everything.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Calls of which the caller was told that they are done.
    pub(crate) acknowledged: usize,
    /// Calls without an end that turned out to have happened.
    pub(crate) recovered: usize,
    /// Calls without an end that did not happen.
    pub(crate) unknown: usize,
    /// Calls that were refused, as they had to be.
    pub(crate) refused: usize,
    /// Dead letters that are there in several copies.
    pub(crate) repeated_dead_letters: usize,
    /// Acknowledged, or shown to others, but without effect or never told.
    pub(crate) lost: Vec<Finding>,
    /// Happened more than once, or to another amount.
    pub(crate) doubled: Vec<Finding>,
    /// Nobody asked for it.
    pub(crate) unexpected: Vec<Finding>,
    /// Webhooks that came before one of a lower version was acknowledged; whether they might is yet to be seen.
    pub(crate) overtakings: Vec<Overtaking>,
}

/// A type of event, and what was refunded in all with it.
type Event = (&'static str, i64);

const SUCCESS: Event = ("pay.success", 0);
const FAILED: Event = ("pay.failed", 0);
const CLOSED: Event = ("pay.closed", 0);

const fn refunded(refunded_minor: i64) -> Event {
    ("pay.refunded", refunded_minor)
}

/// The events of a payment by what its callers were told.
#[derive(Debug, Default)]
struct Told {
    must: BTreeSet<Event>,
    may: BTreeSet<Event>,
}

/// Compares everything.
pub(crate) fn check(history: &History, evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    let nothing = Seen::default();
    for payment in &history.payments {
        let seen = evidence.orders.get(&payment.order_no).unwrap_or(&nothing);
        verdict.payment(payment, seen);
    }
    let known: BTreeSet<_> = history.payments.iter().map(|payment| &payment.order_no).collect();
    for (order_no, seen) in &evidence.orders {
        if !known.contains(order_no) && !seen.webhooks.is_empty() {
            verdict.unexpected(order_no, format!("webhooks about an order of nobody: {:?}", seen.webhooks));
        }
    }
    for forged in &evidence.forged {
        verdict.unexpected("-", format!("a webhook that does not verify: {forged}"));
    }
    verdict.dead_letters(&history.poison, evidence);
    verdict
}

/// What is still to come of this payment; the drain waits for it.
pub(crate) fn missing(payment: &Payment, seen: &Seen) -> Option<String> {
    let mut verdict = Verdict::default();
    verdict.payment(payment, seen);
    verdict.lost.pop().map(|finding| finding.what)
}

impl Verdict {
    fn lost(&mut self, order_no: &str, what: impl Into<String>) {
        self.lost.push(Finding { order_no: order_no.to_owned(), what: what.into() });
    }

    fn doubled(&mut self, order_no: &str, what: impl Into<String>) {
        self.doubled.push(Finding { order_no: order_no.to_owned(), what: what.into() });
    }

    fn unexpected(&mut self, order_no: &str, what: impl Into<String>) {
        self.unexpected.push(Finding { order_no: order_no.to_owned(), what: what.into() });
    }

    fn payment(&mut self, payment: &Payment, seen: &Seen) {
        for trouble in &payment.trouble {
            self.unexpected(&payment.order_no, trouble.clone());
        }
        let mut told = Told::of(&payment.calls);
        if payment.source == Source::Channel && payment.pay_order_no.is_some() {
            self.pay_order(payment, &told, seen.pay_order.as_ref());
            told.must.extend(seen.pay_order.iter().flat_map(implied));
        }
        self.order(payment, &told, seen);
        self.webhooks(payment, &told, &seen.webhooks);
        if payment.source != Source::Stranger {
            self.count(payment, seen);
        }
    }

    /// The pay order shows what was acknowledged, and nothing that nobody asked for.
    fn pay_order(&mut self, payment: &Payment, told: &Told, shown: Option<&SeenPayOrder>) {
        let order_no = &payment.order_no;
        let Some(shown) = shown else { return self.lost(order_no, "the pay order is gone") };
        let implied: BTreeSet<_> = implied(shown).collect();
        let asked = |event: &Event| told.must.contains(event) || told.may.contains(event);
        for event in implied.iter().filter(|event| !asked(event)) {
            self.unexpected(order_no, format!("nobody asked for {event:?} of the pay order: {shown:?}"));
        }
        for event in &told.must {
            let is_there = match *event {
                FAILED => shown.status != "WAIT_BUYER_PAY",
                ("pay.refunded", refunded_minor) => shown.refunded_minor >= refunded_minor,
                other => implied.contains(&other),
            };
            if !is_there {
                self.lost(order_no, format!("{event:?} was acknowledged, but the pay order is {shown:?}"));
            }
        }
    }

    /// Sorts the calls by what became of them.
    fn count(&mut self, payment: &Payment, seen: &Seen) {
        let happened = |fact: Fact| {
            let (event_type, seq) = event(fact);
            let is_it =
                |webhook: &SeenWebhook| webhook.event_type == event_type && webhook.refunded_minor == seq;
            seen.webhooks.iter().any(is_it)
        };
        for call in &payment.calls {
            match &call.outcome {
                Outcome::Acknowledged => self.acknowledged += 1,
                Outcome::Unknown if happened(call.fact) => self.recovered += 1,
                Outcome::Unknown => self.unknown += 1,
                Outcome::Refused(answer) => {
                    let status = seen.pay_order.as_ref().map(|shown| shown.status.as_str());
                    let rightly = match call.fact {
                        Fact::Success | Fact::Refund(_) => status == Some("TRADE_CLOSED"),
                        Fact::Close => seen.pay_order.as_ref().is_some_and(is_paid),
                        Fact::Failure => false,
                    };
                    if rightly {
                        self.refused += 1;
                    } else {
                        let what =
                            format!("{:?} was refused ({answer}), the pay order is {status:?}", call.fact);
                        self.unexpected(&payment.order_no, what);
                    }
                }
            }
        }
    }

    /// The dead letters are those that were provoked.
    fn dead_letters(&mut self, poison: &[Poison], evidence: &Evidence) {
        let mut provoked = BTreeSet::new();
        let there: BTreeSet<_> = evidence.dead_letters.iter().collect();
        for poison in poison {
            let letters: Vec<_> = poison.dead_letters().collect();
            let missing = letters.iter().find(|letter| !there.contains(letter)).cloned();
            match (&poison.outcome, missing) {
                (Outcome::Acknowledged, Some(letter)) => {
                    self.lost(&poison.message_id, format!("it was confirmed, but there is no {letter:?}"));
                }
                (Outcome::Acknowledged, None) => self.acknowledged += 1,
                (Outcome::Unknown, None) => self.recovered += 1,
                (Outcome::Unknown, Some(_)) => self.unknown += 1,
                (Outcome::Refused(answer), _) => {
                    self.unexpected(&poison.message_id, format!("the publish was refused: {answer}"));
                }
            }
            provoked.extend(letters);
        }
        for letter in there.iter().filter(|letter| !provoked.contains(letter)) {
            self.unexpected(&letter.message_id, format!("a dead letter that nobody provoked: {letter:?}"));
        }
        self.repeated_dead_letters = evidence.dead_letters.len() - there.len();
    }
}

impl Told {
    fn of(calls: &[Call]) -> Self {
        let mut told = Self::default();
        for (index, call) in calls.iter().enumerate() {
            let is_acknowledged = call.outcome == Outcome::Acknowledged;
            let money =
                |calls: &[Call]| calls.iter().filter(|call| call.moves_money()).cloned().collect::<Vec<_>>();
            let certain = match call.fact {
                Fact::Success | Fact::Refund(_) => true,
                // After the money it says nothing.
                Fact::Failure => {
                    let before = money(&calls[..index]);
                    if before.iter().any(|call| call.outcome == Outcome::Acknowledged) {
                        continue;
                    }
                    before.is_empty()
                }
                // Until it is carried out, it may still be paid.
                Fact::Close => money(calls).iter().all(|call| matches!(call.outcome, Outcome::Refused(_))),
            };
            if matches!(call.outcome, Outcome::Refused(_)) {
                continue;
            }
            let events = if is_acknowledged && certain { &mut told.must } else { &mut told.may };
            events.insert(event(call.fact));
            if matches!(call.fact, Fact::Refund(_)) {
                events.insert(SUCCESS);
            }
        }
        told
    }
}

impl Call {
    fn moves_money(&self) -> bool {
        matches!(self.fact, Fact::Success | Fact::Refund(_))
    }
}

fn event(fact: Fact) -> Event {
    match fact {
        Fact::Success => SUCCESS,
        Fact::Failure => FAILED,
        Fact::Refund(refunded_minor) => refunded(refunded_minor),
        Fact::Close => CLOSED,
    }
}

fn is_paid(shown: &SeenPayOrder) -> bool {
    ["TRADE_SUCCESS", "PARTIALLY_REFUNDED", "TRADE_REFUNDED"].contains(&shown.status.as_str())
}

/// The events that must have come of a pay order in this state.
fn implied(shown: &SeenPayOrder) -> impl Iterator<Item = Event> + use<> {
    let last = match shown.status.as_str() {
        "TRADE_CLOSED" => Some(CLOSED),
        "TRADE_FAILED" => Some(FAILED),
        _ => None,
    };
    let paid = is_paid(shown).then_some(SUCCESS);
    let refund = (shown.refunded_minor > 0).then_some(refunded(shown.refunded_minor));
    [last, paid, refund].into_iter().flatten()
}

#[cfg(test)]
mod tests;
