//! What an authentic form says.

use events::{ChannelAccount, Currency, Fact, FactKind, Money, PayOrderNo};
use time::format_description::BorrowedFormatItem;
use time::macros::{format_description, offset};
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

use super::Alipay;
use super::form::Form;
use crate::unbooked::UNKNOWN_EVENT;
use crate::values::{dedupe_id, pay_order_no, shorten, trade_no, unreadable, utc};
use crate::{Callback, CallbackRefusal, ChannelFact};

/// The clock of the channel.
pub(super) const BEIJING: UtcOffset = offset!(+8);
/// How it writes times; those of refunds have fractions of seconds.
pub(super) const TIME: &[BorrowedFormatItem<'_>] = format_description!(
    version = 2,
    "[year]-[month]-[day] [hour]:[minute]:[second][optional [.[subsecond digits:1+]]]"
);
/// The currency of merchants of the mainland: notices name none.
const CURRENCY: &str = "CNY";
/// The `notify_type` of payments. Notices of agreements, shops and the like have others.
const PAYMENTS: &str = "trade_status_sync";
/// What is read of every notice.
const OF_ALL: [&str; 3] = ["notify_id", "app_id", "notify_type"];
/// What is read besides of a payment's.
const OF_PAYMENTS: [&str; 7] =
    ["seller_id", "trade_status", "total_amount", "trade_no", "out_trade_no", "gmt_payment", "notify_time"];
/// What may be absent, and makes another statement where it is not.
const OF_REFUNDS: [&str; 3] = ["refund_fee", "gmt_refund", "out_biz_no"];

pub(super) fn parse(
    config: &Alipay,
    account: &ChannelAccount,
    form: &Form,
) -> Result<Callback, CallbackRefusal> {
    plain(form, OF_ALL)?;
    let dedupe_id = dedupe_id("notify_id", required(form, "notify_id")?.to_owned())?;
    same(form, "app_id", &config.app_id, "app_id_mismatch")?;
    if let Some(other) = text(form, "notify_type")?.filter(|kind| *kind != PAYMENTS) {
        return other_notice(form, dedupe_id, other);
    }
    plain(form, OF_PAYMENTS)?;
    // One that is there hides from nobody, and merchants may have the name in parameters of their own.
    plain(form, OF_REFUNDS.into_iter().filter(|name| form.get(name).is_none_or(<[u8]>::is_empty)))?;
    same(form, "seller_id", &config.seller_id, "seller_id_mismatch")?;
    let status = required(form, "trade_status")?;
    if status == "WAIT_BUYER_PAY" {
        return Ok(Callback::Ignored { dedupe_id, reason: "the buyer has not paid yet".to_owned() });
    }

    let total = amount("total_amount", required(form, "total_amount")?)?;
    let fact = Fact {
        kind: kind(form, status, total)?,
        account: Some(account.clone()),
        amount: Some(total),
        channel_trade_no: Some(trade_no("trade_no", required(form, "trade_no")?.to_owned())?),
        accepted: false,
    };
    let pay_order_no = pay_order_no("out_trade_no", required(form, "out_trade_no")?.to_owned())?;
    Ok(Callback::Fact(ChannelFact { dedupe_id, pay_order_no, fact }))
}

/// Of another `notify_type`: whether it concerns a pay order all the same.
fn other_notice(form: &Form, dedupe_id: String, notify_type: &str) -> Result<Callback, CallbackRefusal> {
    let Some(number) = text(form, "out_trade_no")? else {
        let reason = shorten(&format!(
            "notify_type {notify_type:?} is unknown, and no out_trade_no names a pay order"
        ));
        return Ok(Callback::Ignored { dedupe_id, reason });
    };
    let reason = shorten(&format!("notify_type {notify_type:?} of {number:?} is none that pay orders know"));
    let pay_order_no = PayOrderNo::parse(number).ok();
    Ok(Callback::Unbooked { dedupe_id, pay_order_no, code: UNKNOWN_EVENT, reason })
}

/// That none of these names stands inside of another value, where it might have been a parameter when the notice was signed.
fn plain(form: &Form, names: impl IntoIterator<Item = &'static str>) -> Result<(), CallbackRefusal> {
    match names.into_iter().find(|name| form.conceals(name)) {
        None => Ok(()),
        Some(name) => Err(unreadable(&format!("{name}: stands inside of another value"))),
    }
}

fn kind(form: &Form, status: &str, total: Money) -> Result<FactKind, CallbackRefusal> {
    let refund_fee = text(form, "refund_fee")?;
    let refunded = refund_fee.map(|text| amount("refund_fee", text)).transpose()?;
    // A refund of nothing is how some notices say that there was none.
    let refunded = refunded.filter(|refunded| refunded.amount_minor > 0);
    let refund_time = text(form, "gmt_refund")?;
    match status {
        "TRADE_SUCCESS" | "TRADE_FINISHED" => match refunded {
            Some(refunded) => refund(form, refunded),
            None if refund_time.is_some() || text(form, "out_biz_no")?.is_some() => {
                Err(unreadable(&format!("refund_fee: required with {status} of a refund")))
            }
            None => Ok(FactKind::Succeeded { paid_at: time(form, ["gmt_payment", "notify_time"])? }),
        },
        "TRADE_CLOSED" => match refunded {
            Some(refunded) if refunded != total => Err(unreadable(&format!(
                "refund_fee: TRADE_CLOSED gives all of {total} back, got {refunded}"
            ))),
            None if refund_time.is_none() => Ok(FactKind::Closed),
            Some(_) | None => refund(form, total),
        },
        other => Err(unreadable(&format!(
            "trade_status: expected WAIT_BUYER_PAY, TRADE_SUCCESS, TRADE_FINISHED or TRADE_CLOSED, got {other:?}"
        ))),
    }
}

fn refund(form: &Form, refunded: Money) -> Result<FactKind, CallbackRefusal> {
    let refunded_at = time(form, ["gmt_refund", "notify_time"])?;
    Ok(FactKind::Refunded { refunded_minor: refunded.amount_minor, refunded_at })
}

/// The value of this name; `None` if it is absent or empty.
fn text<'a>(form: &'a Form, name: &str) -> Result<Option<&'a str>, CallbackRefusal> {
    let value = form.get(name).filter(|value| !value.is_empty());
    let text = value.map(std::str::from_utf8).transpose();
    text.map_err(|_| unreadable(&format!("{name}: expected ASCII")))
}

fn required<'a>(form: &'a Form, name: &str) -> Result<&'a str, CallbackRefusal> {
    text(form, name)?.ok_or_else(|| unreadable(&format!("{name}: required")))
}

/// Whether the notice is meant for the configured account.
fn same(form: &Form, field: &'static str, expected: &str, code: &'static str) -> Result<(), CallbackRefusal> {
    let got = required(form, field)?;
    if got == expected {
        Ok(())
    } else {
        Err(CallbackRefusal::OtherAccount { code, field, got: shorten(got) })
    }
}

fn amount(name: &str, text: &str) -> Result<Money, CallbackRefusal> {
    let currency = Currency::parse(CURRENCY).map_err(|error| unreadable(&error.to_string()))?;
    Money::parse_decimal(text, currency).map_err(|error| CallbackRefusal::BadAmount {
        detail: shorten(&format!("{name}: {error}, got {text:?}")),
    })
}

/// The first of these times that is given.
fn time<const N: usize>(form: &Form, names: [&str; N]) -> Result<OffsetDateTime, CallbackRefusal> {
    for name in names {
        if let Some(text) = text(form, name)? {
            let time = PrimitiveDateTime::parse(text, TIME).map_err(|_| {
                unreadable(&format!("{name}: expected a time as 2026-01-01 08:00:00, got {text:?}"))
            })?;
            return utc(name, time.assume_offset(BEIJING));
        }
    }
    Err(unreadable(&format!("{}: required", names.join(" or "))))
}
