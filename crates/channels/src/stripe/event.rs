//! What an authentic event says.

use std::collections::BTreeMap;

use events::{ChannelAccount, Currency, Fact, FactKind, Money, PayOrderNo};
use serde::Deserialize;
use time::OffsetDateTime;

use super::amount;
use crate::values::{dedupe_id, not_the_format, shorten, trade_no, unreadable, utc};
use crate::{Callback, ChannelFact, Refusal};

/// The types of events that say something of a pay order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The payment intent was paid.
    PaymentIntentSucceeded,
    /// An attempt failed; another may follow.
    PaymentIntentPaymentFailed,
    /// The buyer has come to the end of a Checkout Session, paid or not.
    CheckoutSessionCompleted,
    /// A payment that was under way when its session was completed has succeeded.
    CheckoutSessionAsyncPaymentSucceeded,
    /// It has failed.
    CheckoutSessionAsyncPaymentFailed,
    /// Money went back to the buyer.
    ChargeRefunded,
}

impl Kind {
    /// Every type.
    pub const ALL: [Self; 6] = [
        Self::PaymentIntentSucceeded,
        Self::PaymentIntentPaymentFailed,
        Self::CheckoutSessionCompleted,
        Self::CheckoutSessionAsyncPaymentSucceeded,
        Self::CheckoutSessionAsyncPaymentFailed,
        Self::ChargeRefunded,
    ];

    /// The value of `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PaymentIntentSucceeded => "payment_intent.succeeded",
            Self::PaymentIntentPaymentFailed => "payment_intent.payment_failed",
            Self::CheckoutSessionCompleted => "checkout.session.completed",
            Self::CheckoutSessionAsyncPaymentSucceeded => "checkout.session.async_payment_succeeded",
            Self::CheckoutSessionAsyncPaymentFailed => "checkout.session.async_payment_failed",
            Self::ChargeRefunded => "charge.refunded",
        }
    }
}

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
    payment_intent: Option<String>,
    amount_total: i64,
    currency: String,
}

#[derive(Deserialize)]
struct Charge {
    payment_intent: Option<String>,
    amount: i64,
    amount_captured: Option<i64>,
    amount_refunded: i64,
    currency: String,
}

/// What an object states: its kind, the payment intent, and the whole amount.
type Stated = (FactKind, Option<String>, Money);

pub(super) fn parse(metadata_key: &str, account: &ChannelAccount, body: &[u8]) -> Result<Callback, Refusal> {
    let Head { id, kind } = read(body)?;
    let dedupe_id = dedupe_id("id", id)?;
    let ignored =
        |reason: &str| Ok(Callback::Ignored { dedupe_id: dedupe_id.clone(), reason: shorten(reason) });
    let known = kind.as_deref().and_then(|kind| Kind::ALL.into_iter().find(|known| known.as_str() == kind));
    let Some(kind) = known else {
        return ignored(&format!("type {:?} is of no concern", kind.unwrap_or_default()));
    };
    if kind == Kind::PaymentIntentPaymentFailed {
        return ignored("an attempt failed, the buyer may make another");
    }
    let Event { created, data } = read::<Event<Reference>>(body)?;
    let Some(number) = data.object.pay_order_no(metadata_key) else {
        return ignored(&format!(
            "names no pay order: neither metadata.{metadata_key} nor client_reference_id"
        ));
    };
    let pay_order_no = PayOrderNo::parse(number)
        .map_err(|error| unreadable(&format!("metadata.{metadata_key} or client_reference_id: {error}")))?;
    let Some((kind, payment_intent, amount)) = stated(kind, event_time(created)?, body)? else {
        return ignored("not paid yet, an event of the asynchronous payment follows");
    };
    let payment_intent = payment_intent.ok_or_else(|| unreadable("payment_intent: required"))?;
    let fact = Fact {
        kind,
        account: Some(account.clone()),
        amount: Some(amount),
        channel_trade_no: Some(trade_no("payment_intent", payment_intent)?),
        accepted: false,
    };
    Ok(Callback::Fact(ChannelFact { dedupe_id, pay_order_no, fact }))
}

/// `None` for a session that is complete and not paid.
fn stated(kind: Kind, at: OffsetDateTime, body: &[u8]) -> Result<Option<Stated>, Refusal> {
    let succeeded = FactKind::Succeeded { paid_at: at };
    Ok(Some(match kind {
        Kind::PaymentIntentSucceeded => {
            let PaymentIntent { id, amount_received, currency } = object(body)?;
            (succeeded, Some(id), money("amount_received", amount_received, &currency)?)
        }
        Kind::CheckoutSessionCompleted if object::<Completed>(body)?.payment_status != "paid" => {
            return Ok(None);
        }
        Kind::CheckoutSessionCompleted | Kind::CheckoutSessionAsyncPaymentSucceeded => {
            session(succeeded, body)?
        }
        Kind::CheckoutSessionAsyncPaymentFailed => session(FactKind::Failed, body)?,
        Kind::ChargeRefunded => {
            let charge: Charge = object(body)?;
            // What was captured is what was paid; the rest was released without ever having been.
            let paid = charge.amount_captured.unwrap_or(charge.amount);
            let refunded = money("amount_refunded", charge.amount_refunded, &charge.currency)?;
            let kind = FactKind::Refunded { refunded_minor: refunded.amount_minor, refunded_at: at };
            (kind, charge.payment_intent, money("amount", paid, &charge.currency)?)
        }
        Kind::PaymentIntentPaymentFailed => return Ok(None),
    }))
}

fn session(kind: FactKind, body: &[u8]) -> Result<Stated, Refusal> {
    let CheckoutSession { payment_intent, amount_total, currency } = object(body)?;
    Ok((kind, payment_intent, money("amount_total", amount_total, &currency)?))
}

impl Reference {
    fn pay_order_no(self, metadata_key: &str) -> Option<String> {
        let in_metadata = self.metadata.and_then(|mut metadata| metadata.remove(metadata_key));
        in_metadata.or(self.client_reference_id)
    }
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
