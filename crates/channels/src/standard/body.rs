//! The JSON body of a `standard` callback.

use events::{ChannelAccount, Currency, Fact, FactKind, Money, PayOrderNo, Whole};
use serde::Deserialize;
use time::OffsetDateTime;

use crate::unbooked::UNKNOWN_EVENT;
use crate::values::{json, not_negative, shorten, trade_no, unreadable, utc};
use crate::{Callback, CallbackRefusal, ChannelFact};

/// The known values of `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The buyer has paid.
    PaymentSucceeded,
    /// The payment failed for good.
    PaymentFailed,
    /// The payment was closed unpaid.
    PaymentClosed,
    /// Money went back to the buyer.
    RefundSucceeded,
}

impl Kind {
    const ALL: [Self; 4] =
        [Self::PaymentSucceeded, Self::PaymentFailed, Self::PaymentClosed, Self::RefundSucceeded];

    /// The value of `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PaymentSucceeded => "payment.succeeded",
            Self::PaymentFailed => "payment.failed",
            Self::PaymentClosed => "payment.closed",
            Self::RefundSucceeded => "refund.succeeded",
        }
    }

    /// The only value of `status` that goes with it.
    pub const fn status(self) -> &'static str {
        match self {
            Self::PaymentSucceeded => "SUCCESS",
            Self::PaymentFailed => "FAILED",
            Self::PaymentClosed => "CLOSED",
            Self::RefundSucceeded => "REFUNDED",
        }
    }
}

/// The part that decides whether the rest concerns us: of an unknown type nothing else may be expected.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
}

/// What a body of an unknown type may name.
#[derive(Deserialize)]
struct Named {
    data: Reference,
}

#[derive(Deserialize)]
struct Reference {
    pay_order_no: PayOrderNo,
}

#[derive(Deserialize)]
struct Body {
    #[serde(with = "time::serde::rfc3339")]
    timestamp: OffsetDateTime,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    pay_order_no: PayOrderNo,
    channel_trade_no: Option<String>,
    #[serde(deserialize_with = "Whole::read")]
    amount_minor: i64,
    currency: Currency,
    status: String,
    #[serde(default, with = "time::serde::rfc3339::option")]
    success_time: Option<OffsetDateTime>,
    #[serde(default, deserialize_with = "Whole::read_optional")]
    refunded_minor: Option<i64>,
}

/// Parses a body whose signature was checked. `webhook_id` becomes the dedupe id.
pub(super) fn parse(
    account: &ChannelAccount,
    webhook_id: &str,
    body: &[u8],
) -> Result<Callback, CallbackRefusal> {
    let dedupe_id = webhook_id.to_owned();
    let Head { kind: kind_text } = json(body)?;
    let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.as_str() == kind_text) else {
        return Ok(other(dedupe_id, &kind_text, body));
    };
    let Body { timestamp, data } = json(body)?;
    if data.status != kind.status() {
        let detail = format!("status: {kind_text} goes with {}, got {:?}", kind.status(), data.status);
        return Err(unreadable(&detail));
    }
    let fact = Fact {
        kind: fact_kind(kind, timestamp, &data)?,
        account: Some(account.clone()),
        amount: Some(Money::new(not_negative("amount_minor", data.amount_minor)?, data.currency)),
        channel_trade_no: data.channel_trade_no.map(|text| trade_no("channel_trade_no", text)).transpose()?,
        accepted: false,
    };
    let moves_money = matches!(kind, Kind::PaymentSucceeded | Kind::RefundSucceeded);
    if moves_money && fact.channel_trade_no.is_none() {
        return Err(missing("channel_trade_no", kind));
    }
    Ok(Callback::Fact(ChannelFact { dedupe_id, pay_order_no: data.pay_order_no, fact }))
}

/// Of an unknown type: whether it concerns a pay order all the same.
fn other(dedupe_id: String, kind: &str, body: &[u8]) -> Callback {
    let Ok(Named { data: Reference { pay_order_no } }) = json(body) else {
        let reason = shorten(&format!("type {kind:?} is unknown, and data.pay_order_no names no pay order"));
        return Callback::Ignored { dedupe_id, reason };
    };
    let reason =
        shorten(&format!("type {kind:?} about the pay order {pay_order_no} is none that pay orders know"));
    Callback::Unbooked { dedupe_id, pay_order_no: Some(pay_order_no), code: UNKNOWN_EVENT, reason }
}

fn fact_kind(kind: Kind, timestamp: OffsetDateTime, data: &Data) -> Result<FactKind, CallbackRefusal> {
    let timestamp = utc("timestamp", timestamp)?;
    let success_time = data.success_time.map(|time| utc("success_time", time)).transpose()?;
    Ok(match kind {
        Kind::PaymentSucceeded => {
            FactKind::Succeeded { paid_at: success_time.ok_or_else(|| missing("success_time", kind))? }
        }
        Kind::PaymentFailed => FactKind::Failed,
        Kind::PaymentClosed => FactKind::Closed,
        Kind::RefundSucceeded => {
            let refunded_minor = data.refunded_minor.ok_or_else(|| missing("refunded_minor", kind))?;
            FactKind::Refunded {
                refunded_minor: not_negative("refunded_minor", refunded_minor)?,
                refunded_at: success_time.unwrap_or(timestamp),
            }
        }
    })
}

fn missing(field: &str, kind: Kind) -> CallbackRefusal {
    unreadable(&format!("{field}: required with {}", kind.as_str()))
}
