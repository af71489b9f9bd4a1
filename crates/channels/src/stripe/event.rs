//! What an authentic event says.

mod other;

use std::collections::BTreeMap;

use events::{ChannelAccount, Currency, Fact, FactKind, Money, PayOrderNo, Whole};
use serde::Deserialize;
use time::OffsetDateTime;

use super::{Kind, amount};
use crate::unbooked::{CHARGE_WITHOUT_INTENT, NO_PAYMENT_REQUIRED, REFUND_FAILED, SUBSCRIPTION_PAID};
use crate::values::{dedupe_id, json, pay_order_no, shorten, trade_no, unreadable, utc};
use crate::{Callback, CallbackRefusal, ChannelFact};

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
    #[serde(deserialize_with = "Whole::read")]
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
    #[serde(deserialize_with = "Whole::read")]
    amount_received: i64,
    currency: String,
}

/// What a completed session is asked first: one that asks for no payment may have no amount.
#[derive(Deserialize)]
struct Completed {
    payment_status: String,
}

#[derive(Deserialize)]
struct CheckoutSession {
    mode: Option<String>,
    payment_intent: Option<String>,
    #[serde(deserialize_with = "Whole::read")]
    amount_total: i64,
    currency: String,
}

#[derive(Deserialize)]
struct Charge {
    id: Option<String>,
    payment_intent: Option<String>,
    #[serde(deserialize_with = "Whole::read")]
    amount: i64,
    captured: Option<bool>,
    #[serde(default, deserialize_with = "Whole::read_optional")]
    amount_captured: Option<i64>,
    #[serde(deserialize_with = "Whole::read")]
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

pub(super) fn parse(
    metadata_key: &str,
    account: &ChannelAccount,
    body: &[u8],
) -> Result<Callback, CallbackRefusal> {
    let Head { id, kind } = read(body)?;
    let dedupe_id = dedupe_id("id", id)?;
    let known = kind.as_deref().and_then(|kind| Kind::ALL.into_iter().find(|known| known.as_str() == kind));
    let of_pay_order = |state| of_pay_order(state, metadata_key, body);
    let said = match known {
        None => other::read(&kind.unwrap_or_default(), metadata_key, body),
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
type State = fn(PayOrderNo, OffsetDateTime, &[u8]) -> Result<Said, CallbackRefusal>;

/// Of a payment or its refund: only what names a pay order concerns us.
fn of_pay_order(state: State, metadata_key: &str, body: &[u8]) -> Result<Said, CallbackRefusal> {
    let Event { created, data } = read::<Event<Reference>>(body)?;
    match data.object.pay_order_no(metadata_key)? {
        Some(number) => state(number, event_time(created)?, body),
        None => Ok(Said::Nothing(names_none(metadata_key))),
    }
}

fn names_none(metadata_key: &str) -> String {
    format!(
        "names no pay order: neither metadata.{metadata_key} nor, as payrelay writes it, client_reference_id"
    )
}

/// Its success was never told as a payment's, for only payment intents and sessions are read.
fn charged_without_intent(number: PayOrderNo, charge: &str) -> Said {
    let reason = format!(
        "the charge {charge:?} under the pay order {number} has no payment intent, which payments are booked by"
    );
    Said::Unbooked(Some(number), CHARGE_WITHOUT_INTENT, reason)
}

fn intent_succeeded(number: PayOrderNo, at: OffsetDateTime, body: &[u8]) -> Result<Said, CallbackRefusal> {
    let PaymentIntent { id, amount_received, currency } = object(body)?;
    let received = money("amount_received", amount_received, &currency)?;
    Ok(Said::Fact(number, FactKind::Succeeded { paid_at: at }, id, received))
}

fn session_completed(number: PayOrderNo, at: OffsetDateTime, body: &[u8]) -> Result<Said, CallbackRefusal> {
    match object::<Completed>(body)?.payment_status.as_str() {
        "paid" => session_paid(number, at, body),
        "unpaid" => {
            Ok(Said::Nothing("not paid yet, an event of the asynchronous payment follows".to_owned()))
        }
        "no_payment_required" => Ok(nobody_pays(number)),
        other => Err(unreadable(&format!(
            "payment_status: expected paid, unpaid or no_payment_required, got {other:?}"
        ))),
    }
}

/// The buyer has what was ordered, and nothing was paid for it: whether that is right is for somebody to decide.
fn nobody_pays(number: PayOrderNo) -> Said {
    let reason = format!("the pay order {number} was completed without a payment, as by a coupon or a trial");
    Said::Unbooked(Some(number), NO_PAYMENT_REQUIRED, reason)
}

fn session_paid(number: PayOrderNo, at: OffsetDateTime, body: &[u8]) -> Result<Said, CallbackRefusal> {
    session(number, FactKind::Succeeded { paid_at: at }, body)
}

fn session_failed(number: PayOrderNo, _: OffsetDateTime, body: &[u8]) -> Result<Said, CallbackRefusal> {
    session(number, FactKind::Failed, body)
}

/// A subscription is paid by its invoices, without a payment intent of the session. If one is paid under the number of a pay order, repeating
/// it would not help, and somebody must find out for what.
fn session(number: PayOrderNo, kind: FactKind, body: &[u8]) -> Result<Said, CallbackRefusal> {
    let CheckoutSession { mode, payment_intent, amount_total, currency } = object(body)?;
    match payment_intent {
        Some(id) => Ok(Said::Fact(number, kind, id, money("amount_total", amount_total, &currency)?)),
        None if amount_total == 0 && kind != FactKind::Failed => Ok(nobody_pays(number)),
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

fn charge_refunded(number: PayOrderNo, at: OffsetDateTime, body: &[u8]) -> Result<Said, CallbackRefusal> {
    let charge: Charge = object(body)?;
    if charge.captured == Some(false) || charge.amount_captured == Some(0) {
        return Ok(Said::Nothing("an authorisation was cancelled, nothing had been paid".to_owned()));
    }
    let Some(payment_intent) = charge.payment_intent else {
        return Ok(charged_without_intent(number, &charge.id.unwrap_or_default()));
    };
    // What was captured is what was paid; the rest was released without ever having been.
    let paid = charge.amount_captured.unwrap_or(charge.amount);
    let refunded = money("amount_refunded", charge.amount_refunded, &charge.currency)?;
    let kind = FactKind::Refunded { refunded_minor: refunded.amount_minor, refunded_at: at };
    Ok(Said::Fact(number, kind, payment_intent, money("amount", paid, &charge.currency)?))
}

/// What `charge.refunded` has told is not taken back: the shop gives the money otherwise. A refund has metadata of its own, so it concerns us also
/// when it names no pay order.
fn refund(kind: Kind, metadata_key: &str, body: &[u8]) -> Result<Said, CallbackRefusal> {
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
    fn pay_order_no(self, metadata_key: &str) -> Result<Option<PayOrderNo>, CallbackRefusal> {
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

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, CallbackRefusal> {
    json(body)
}

fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, CallbackRefusal> {
    Ok(read::<Event<T>>(body)?.data.object)
}

fn event_time(created: i64) -> Result<OffsetDateTime, CallbackRefusal> {
    let time = OffsetDateTime::from_unix_timestamp(created);
    utc("created", time.map_err(|_| unreadable("created: expected seconds since 1970"))?)
}

/// Stripe writes codes in lower case.
fn money(field: &str, stated: i64, code: &str) -> Result<Money, CallbackRefusal> {
    let currency =
        Currency::parse(&code.to_ascii_uppercase()).map_err(|error| unreadable(&error.to_string()))?;
    amount::to_money(stated, currency)
        .map_err(|error| CallbackRefusal::BadAmount { detail: shorten(&format!("{field}: {error}")) })
}
