//! `pay.v1.PayEvent`, as protobuf and as proto3 JSON.

use prost::Message;
use serde::Deserialize as _;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use super::timestamp::Timestamp;
use super::{DecodeError, quoted};
use crate::{
    ChannelAccount, Currency, EventId, EventType, InvalidEvent, MerchantId, Money, OrderNo, PayEvent,
    PayOrder, PayOrderNo, Purpose, Status, to_micros,
};

/// What `prost` and `pbjson` make of `proto/pay/v1`. The test `the_generated_code_is_current` of `scenarios` keeps and writes it.
#[expect(clippy::pedantic, clippy::allow_attributes, unreachable_pub, reason = "generated code")]
mod pb {
    include!("generated/pay.v1.rs");
    include!("generated/pay.v1.serde.rs");
}

/// The longest text that a pay order carries along (`attach`, `subject`, `notify_url`), in bytes.
const MAX_TEXT_BYTES: usize = 2048;

pub(super) fn encode(event: &PayEvent) -> Vec<u8> {
    to_message(event).encode_to_vec()
}

pub(super) fn encode_json(event: &PayEvent) -> Result<String, serde_json::Error> {
    // By way of a value, which sorts the fields by their names.
    serde_json::to_value(to_message(event)).map(|message| message.to_string())
}

pub(super) fn decode(body: &[u8]) -> Result<PayEvent, DecodeError> {
    Ok(from_message(pb::PayEvent::decode(body).map_err(DecodeError::undecodable)?)?)
}

/// Reads what is JSON and an object: if it is no event, it is understood, and refused.
pub(super) fn decode_json(fields: Map<String, Value>) -> Result<PayEvent, DecodeError> {
    let message = pb::PayEvent::deserialize(&Value::Object(fields.clone()))
        .map_err(|error| DecodeError::Invalid(culprit(fields).unwrap_or_else(|| error.to_string())))?;
    Ok(from_message(message)?)
}

/// The first field that cannot be read even alone, and why: the whole error names no field.
fn culprit(fields: Map<String, Value>) -> Option<String> {
    fields.into_iter().find_map(|(name, value)| {
        let alone = Value::Object(Map::from_iter([(name.clone(), value)]));
        pb::PayEvent::deserialize(&alone).err().map(|error| format!("{name}: {error}"))
    })
}

fn to_message(event: &PayEvent) -> pb::PayEvent {
    let order = &event.order;
    pb::PayEvent {
        event_id: event.event_id.to_string(),
        r#type: match event.event_type {
            EventType::Success => pb::PayEventType::Success,
            EventType::Failed => pb::PayEventType::Failed,
            EventType::Closed => pb::PayEventType::Closed,
            EventType::Refunded => pb::PayEventType::Refunded,
        }
        .into(),
        merchant_id: order.merchant_id.to_string(),
        order_no: order.order_no.to_string(),
        pay_order_no: order.pay_order_no.to_string(),
        version: order.version,
        status: match order.status {
            Status::NotCommit => pb::PayOrderStatus::NotCommit,
            Status::WaitBuyerPay => pb::PayOrderStatus::WaitBuyerPay,
            Status::TradeSuccess => pb::PayOrderStatus::TradeSuccess,
            Status::TradeFailed => pb::PayOrderStatus::TradeFailed,
            Status::TradeClosed => pb::PayOrderStatus::TradeClosed,
            Status::PartiallyRefunded => pb::PayOrderStatus::PartiallyRefunded,
            Status::TradeRefunded => pb::PayOrderStatus::TradeRefunded,
        }
        .into(),
        purpose: match order.purpose {
            Purpose::Order => pb::Purpose::Order,
            Purpose::External => pb::Purpose::External,
            Purpose::Recharge => pb::Purpose::Recharge,
        }
        .into(),
        amount_minor: order.amount.amount_minor,
        currency: order.amount.currency.to_string(),
        refunded_minor: order.refunded_minor,
        channel: order.channel.to_string(),
        channel_trade_no: order.channel_trade_no.clone().unwrap_or_default(),
        paid_at: order.paid_at.map(Timestamp::from),
        occurred_at: Some(event.occurred_at.into()),
        notify_url: order.notify_url.clone().unwrap_or_default(),
        attach: order.attach.clone().unwrap_or_default(),
        subject: order.subject.clone().unwrap_or_default(),
    }
}

fn from_message(message: pb::PayEvent) -> Result<PayEvent, InvalidEvent> {
    let event_id = Uuid::parse_str(&message.event_id)
        .map_err(|_| InvalidEvent::new("event_id", "a UUID", quoted(&message.event_id)))?;
    let event = PayEvent {
        event_id: EventId(event_id),
        event_type: event_type(&message)?,
        occurred_at: time("occurred_at", message.occurred_at)?
            .ok_or_else(|| InvalidEvent::new("occurred_at", "a time", "none"))?,
        order: pay_order(message)?,
    };
    event.check()?;
    Ok(event)
}

fn pay_order(message: pb::PayEvent) -> Result<PayOrder, InvalidEvent> {
    let currency = Currency::parse(&message.currency)
        .map_err(|unknown| InvalidEvent::new("currency", "an ISO 4217 code", quoted(&unknown.0)))?;
    Ok(PayOrder {
        status: status(&message)?,
        purpose: purpose(&message)?,
        pay_order_no: identifier("pay_order_no", message.pay_order_no, PayOrderNo::parse)?,
        merchant_id: identifier("merchant_id", message.merchant_id, MerchantId::parse)?,
        order_no: identifier("order_no", message.order_no, OrderNo::parse)?,
        channel: identifier("channel", message.channel, ChannelAccount::parse)?,
        amount: Money::new(message.amount_minor, currency),
        version: message.version,
        refunded_minor: message.refunded_minor,
        channel_trade_no: text("channel_trade_no", message.channel_trade_no)?,
        paid_at: time("paid_at", message.paid_at)?,
        subject: text("subject", message.subject)?,
        notify_url: text("notify_url", message.notify_url)?,
        attach: text("attach", message.attach)?,
    })
}

fn event_type(message: &pb::PayEvent) -> Result<EventType, InvalidEvent> {
    match pb::PayEventType::try_from(message.r#type) {
        Ok(pb::PayEventType::Success) => Ok(EventType::Success),
        Ok(pb::PayEventType::Failed) => Ok(EventType::Failed),
        Ok(pb::PayEventType::Closed) => Ok(EventType::Closed),
        Ok(pb::PayEventType::Refunded) => Ok(EventType::Refunded),
        Ok(pb::PayEventType::Unspecified) | Err(_) => {
            Err(InvalidEvent::new("type", "a PayEventType other than UNSPECIFIED", message.r#type))
        }
    }
}

fn status(message: &pb::PayEvent) -> Result<Status, InvalidEvent> {
    match pb::PayOrderStatus::try_from(message.status) {
        Ok(pb::PayOrderStatus::NotCommit) => Ok(Status::NotCommit),
        Ok(pb::PayOrderStatus::WaitBuyerPay) => Ok(Status::WaitBuyerPay),
        Ok(pb::PayOrderStatus::TradeSuccess) => Ok(Status::TradeSuccess),
        Ok(pb::PayOrderStatus::TradeFailed) => Ok(Status::TradeFailed),
        Ok(pb::PayOrderStatus::TradeClosed) => Ok(Status::TradeClosed),
        Ok(pb::PayOrderStatus::PartiallyRefunded) => Ok(Status::PartiallyRefunded),
        Ok(pb::PayOrderStatus::TradeRefunded) => Ok(Status::TradeRefunded),
        Ok(pb::PayOrderStatus::Unspecified) | Err(_) => {
            Err(InvalidEvent::new("status", "a PayOrderStatus other than UNSPECIFIED", message.status))
        }
    }
}

fn purpose(message: &pb::PayEvent) -> Result<Purpose, InvalidEvent> {
    match pb::Purpose::try_from(message.purpose) {
        // ORDER is the default of publishers that leave the field out.
        Ok(pb::Purpose::Unspecified | pb::Purpose::Order) => Ok(Purpose::Order),
        Ok(pb::Purpose::External) => Ok(Purpose::External),
        Ok(pb::Purpose::Recharge) => Ok(Purpose::Recharge),
        Err(_) => Err(InvalidEvent::new("purpose", "a Purpose", message.purpose)),
    }
}

fn identifier<T, E>(
    field: &'static str,
    text: String,
    parse: impl FnOnce(String) -> Result<T, E>,
) -> Result<T, InvalidEvent> {
    let got = quoted(&text);
    parse(text).map_err(|_| InvalidEvent::new(field, "1 to 64 letters, digits or any of -_.:@", got))
}

fn text(field: &'static str, text: String) -> Result<Option<String>, InvalidEvent> {
    match text.len() {
        0 => Ok(None),
        1..=MAX_TEXT_BYTES if !text.contains('\0') => Ok(Some(text)),
        length => {
            let expected = format!("at most {MAX_TEXT_BYTES} bytes without NUL");
            Err(InvalidEvent::new(field, expected, format_args!("{length} bytes")))
        }
    }
}

fn time(field: &'static str, timestamp: Option<Timestamp>) -> Result<Option<OffsetDateTime>, InvalidEvent> {
    let Some(timestamp) = timestamp else {
        return Ok(None);
    };
    let time = timestamp
        .to_time()
        .filter(|time| time.year() >= 1970)
        .ok_or_else(|| InvalidEvent::new(field, "a time from 1970 to 9999", timestamp.seconds))?;
    Ok(Some(to_micros(time)))
}
