//! What an authentic event says.

use std::collections::BTreeMap;

use events::{ChannelAccount, Currency, Fact, FactKind, Money, PayOrderNo};
use serde::Deserialize;
use time::OffsetDateTime;

use super::{Kind, REFUND_FAILED, SUBSCRIPTION_PAID, amount};
use crate::values::{dedupe_id, not_the_format, pay_order_no, shorten, trade_no, unreadable, utc};
use crate::{Callback, ChannelFact, Refusal};

/// The part that decides whether the rest concerns us: of an unknown type nothing else may be expected.
#[derive(Deserialize)]
struct Head {
    id: String,
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// The rest, its object read as the type demands.
#[derive(Deserialize)]
struct Event<T> {
    created: i64,
    data: Data<T>,
}

#[derive(Deserialize)]
struct Data<T> {
    object: T,
}

/// What names the pay order, in an object of any type.
#[derive(Deserialize)]
struct Reference {
    metadata: Option<BTreeMap<String, String>>,
    client_reference_id: Option<String>,
}

#[derive(Deserialize)]
struct PaymentIntent {
    id: String,
    amount_received: i64,
    currency: String,
}

/// What a completed session is asked first: one that asks for no payment has no amount.
#[derive(Deserialize)]
struct Completed {
    payment_status: String,
}

#[derive(Deserialize)]
struct CheckoutSession {
    mode: Option<String>,
    payment_intent: Option<String>,
    amount_total: i64,
    currency: String,
}

#[derive(Deserialize)]
struct Charge {
    payment_intent: Option<String>,
    amount: i64,
    captured: Option<bool>,
    amount_captured: Option<i64>,
    amount_refunded: i64,
    currency: String,
}

#[derive(Deserialize)]
struct Refund {
    id: String,
    status: Option<String>,
    failure_reason: Option<String>,
    payment_intent: Option<String>,
}

/// What an event comes to.
enum Said {
    /// A fact of this pay order, the payment intent, and the whole amount.
    Fact(PayOrderNo, FactKind, String, Money),
    /// Nothing, and why.
    Nothing(String),
    /// What cannot be booked, of the pay order if one is named: its code, and what it is.
    Unbooked(Option<PayOrderNo>, &'static str, String),
}

pub(super) fn parse(metadata_key: &str, account: &ChannelAccount, body: &[u8]) -> Result<Callback, Refusal> {
    let Head { id, kind } = read(body)?;
    let dedupe_id = dedupe_id("id", id)?;
    let known = kind.as_deref().and_then(|kind| Kind::ALL.into_iter().find(|known| known.as_str() == kind));
    let of_pay_order = |state| of_pay_order(state, metadata_key, body);
    let said = match known {
        None => Said::Nothing(format!("type {:?} is of no concern", kind.unwrap_or_default())),
        Some(Kind::PaymentIntentSucceeded) => of_pay_order(intent_succeeded)?,
        Some(Kind::PaymentIntentPaymentFailed) => {
            Said::Nothing("an attempt failed, the buyer may make another".to_owned())
        }
        Some(Kind::CheckoutSessionCompleted) => of_pay_order(session_completed)?,
        Some(Kind::CheckoutSessionAsyncPaymentSucceeded) => of_pay_order(session_paid)?,
        Some(Kind::CheckoutSessionAsyncPaymentFailed) => of_pay_order(session_failed)?,
        Some(Kind::ChargeRefunded) => of_pay_order(charge_refunded)?,
        Some(kind @ (Kind::RefundFailed | Kind::RefundUpdated | Kind::ChargeRefundUpdated)) => {
            refund(kind, metadata_key, body)?
        }
    };
    Ok(match said {
        Said::Fact(pay_order_no, kind, payment_intent, amount) => {
            let fact = Fact {
                kind,
                account: Some(account.clone()),
                amount: Some(amount),
                channel_trade_no: Some(trade_no("payment_intent", payment_intent)?),
                accepted: false,
            };
            Callback::Fact(ChannelFact { dedupe_id, pay_order_no, fact })
        }
        Said::Nothing(reason) => Callback::Ignored { dedupe_id, reason: shorten(&reason) },
        Said::Unbooked(pay_order_no, code, reason) => {
            Callback::Unbooked { dedupe_id, pay_order_no, code, reason: shorten(&reason) }
        }
    })
}

/// What an event of a pay order states, by its number, its time and its body.
type State = fn(PayOrderNo, OffsetDateTime, &[u8]) -> Result<Said, Refusal>;

/// Of a payment or its refund: only what names a pay order concerns us.
fn of_pay_order(state: State, metadata_key: &str, body: &[u8]) -> Result<Said, Refusal> {
    let Event { created, data } = read::<Event<Reference>>(body)?;
    match data.object.pay_order_no(metadata_key)? {
        Some(number) => state(number, event_time(created)?, body),
        None => Ok(Said::Nothing(format!(
            "names no pay order: neither metadata.{metadata_key} nor, as payrelay writes it, client_reference_id"
        ))),
    }
}

fn intent_succeeded(number: PayOrderNo, at: OffsetDateTime, body: &[u8]) -> Result<Said, Refusal> {
    let PaymentIntent { id, amount_received, currency } = object(body)?;
    let received = money("amount_received", amount_received, &currency)?;
    Ok(Said::Fact(number, FactKind::Succeeded { paid_at: at }, id, received))
}

fn session_completed(number: PayOrderNo, at: OffsetDateTime, body: &[u8]) -> Result<Said, Refusal> {
    if object::<Completed>(body)?.payment_status == "paid" {
        session_paid(number, at, body)
    } else {
        Ok(Said::Nothing("not paid yet, an event of the asynchronous payment follows".to_owned()))
    }
}

fn session_paid(number: PayOrderNo, at: OffsetDateTime, body: &[u8]) -> Result<Said, Refusal> {
    session(number, FactKind::Succeeded { paid_at: at }, body)
}

fn session_failed(number: PayOrderNo, _: OffsetDateTime, body: &[u8]) -> Result<Said, Refusal> {
    session(number, FactKind::Failed, body)
}

/// A subscription is paid by its invoices, without a payment intent of the session. If one is paid under the number of a pay order, repeating
/// it would not help, and somebody must find out for what.
fn session(number: PayOrderNo, kind: FactKind, body: &[u8]) -> Result<Said, Refusal> {
    let CheckoutSession { mode, payment_intent, amount_total, currency } = object(body)?;
    match payment_intent {
        Some(id) => Ok(Said::Fact(number, kind, id, money("amount_total", amount_total, &currency)?)),
        None if mode.as_deref() != Some("subscription") => Err(unreadable("payment_intent: required")),
        None if kind == FactKind::Failed => {
            Ok(Said::Nothing("the session of a subscription was not paid".to_owned()))
        }
        None => {
            let reason = format!("a subscription was paid under the pay order {number}, which is paid once");
            Ok(Said::Unbooked(Some(number), SUBSCRIPTION_PAID, reason))
        }
    }
}

fn charge_refunded(number: PayOrderNo, at: OffsetDateTime, body: &[u8]) -> Result<Said, Refusal> {
    let charge: Charge = object(body)?;
    if charge.captured == Some(false) || charge.amount_captured == Some(0) {
        return Ok(Said::Nothing("an authorisation was cancelled, nothing had been paid".to_owned()));
    }
    let Some(payment_intent) = charge.payment_intent else {
        // Its success was never told: only payment intents and sessions are.
        return Ok(Said::Nothing("a charge without payment intent is no payment of payrelay's".to_owned()));
    };
    // What was captured is what was paid; the rest was released without ever having been.
    let paid = charge.amount_captured.unwrap_or(charge.amount);
    let refunded = money("amount_refunded", charge.amount_refunded, &charge.currency)?;
    let kind = FactKind::Refunded { refunded_minor: refunded.amount_minor, refunded_at: at };
    Ok(Said::Fact(number, kind, payment_intent, money("amount", paid, &charge.currency)?))
}

/// What `charge.refunded` has told is not taken back: the shop gives the money otherwise. A refund has metadata of its own, so it concerns us also
/// when it names no pay order.
fn refund(kind: Kind, metadata_key: &str, body: &[u8]) -> Result<Said, Refusal> {
    let Refund { id, status, failure_reason, payment_intent } = object(body)?;
    let status = status.unwrap_or_default();
    if kind != Kind::RefundFailed && !["failed", "canceled"].contains(&status.as_str()) {
        return Ok(Said::Nothing(format!("a refund is {status:?}, charge.refunded tells what went back")));
    }
    let number = object::<Reference>(body)?.pay_order_no(metadata_key).unwrap_or_default();
    let [intent, why] = [payment_intent, failure_reason].map(Option::unwrap_or_default);
    let reason =
        format!("the refund {id:?} of the payment intent {intent:?} is {status:?} after all: {why:?}");
    Ok(Said::Unbooked(number, REFUND_FAILED, reason))
}

impl Reference {
    /// Who writes our metadata means us. A `client_reference_id` is anybody's, as a user's or a cart's, so that only what looks like a number of
    /// payrelay's is one.
    fn pay_order_no(self, metadata_key: &str) -> Result<Option<PayOrderNo>, Refusal> {
        if let Some(number) = self.metadata.and_then(|mut metadata| metadata.remove(metadata_key)) {
            return pay_order_no(&format!("metadata.{metadata_key}"), number).map(Some);
        }
        let reference = self.client_reference_id.filter(|reference| looks_like_ours(reference));
        Ok(reference.and_then(|reference| PayOrderNo::parse(reference).ok()))
    }
}

/// `P` and 12 or more upper-case hexadecimal digits.
fn looks_like_ours(number: &str) -> bool {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    number.strip_prefix('P').is_some_and(|digits| digits.len() >= 12 && digits.bytes().all(is_digit))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(not_the_format)
}

fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    Ok(read::<Event<T>>(body)?.data.object)
}

fn event_time(created: i64) -> Result<OffsetDateTime, Refusal> {
    let time = OffsetDateTime::from_unix_timestamp(created);
    utc("created", time.map_err(|_| unreadable("created: expected seconds since 1970"))?)
}

/// Stripe writes codes in lower case.
fn money(field: &str, stated: i64, code: &str) -> Result<Money, Refusal> {
    let currency =
        Currency::parse(&code.to_ascii_uppercase()).map_err(|error| unreadable(&error.to_string()))?;
    amount::to_money(stated, currency)
        .map_err(|error| Refusal::BadAmount { detail: shorten(&format!("{field}: {error}")) })
}
