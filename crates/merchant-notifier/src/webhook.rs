//! What a merchant is told: the body in the format `standard`, from which the other formats are made.

use std::borrow::Cow;

use events::{PayEvent, Status};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use webhooks::encryption::{EncryptedResource, EncryptionError, Key};

/// The body of a webhook, its data in the shape `D`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Body<'a, D> {
    #[serde(borrow)]
    pub(crate) r#type: Cow<'a, str>,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) timestamp: OffsetDateTime,
    pub(crate) data: D,
}

/// What is told of a pay order.
#[derive(Serialize, Deserialize)]
pub(crate) struct Data<'a> {
    #[serde(borrow)]
    pub(crate) pay_order_no: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) order_no: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) merchant_id: Cow<'a, str>,
    pub(crate) amount_minor: i64,
    #[serde(borrow)]
    pub(crate) currency: Cow<'a, str>,
    pub(crate) refunded_minor: i64,
    pub(crate) status: Status,
    pub(crate) version: i64,
    #[serde(borrow)]
    pub(crate) channel: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) channel_trade_no: Option<Cow<'a, str>>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) paid_at: Option<OffsetDateTime>,
    #[serde(borrow)]
    pub(crate) attach: Option<Cow<'a, str>>,
    /// Left out where there is none: most pay orders have none, and every byte is stored.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<Cow<'a, str>>,
}

/// The JSON of an event. Built once, when the notification is made: every attempt of the format `standard` sends the same bytes.
pub(crate) fn body(event: &PayEvent) -> Result<Vec<u8>, serde_json::Error> {
    let order = &event.order;
    serde_json::to_vec(&Body {
        r#type: event.event_type.as_str().into(),
        timestamp: event.occurred_at,
        data: Data {
            pay_order_no: order.pay_order_no.as_str().into(),
            order_no: order.order_no.as_str().into(),
            merchant_id: order.merchant_id.as_str().into(),
            amount_minor: order.amount.amount_minor,
            currency: order.amount.currency.to_string().into(),
            refunded_minor: order.refunded_minor,
            status: order.status,
            version: order.version,
            channel: order.channel.as_str().into(),
            channel_trade_no: order.channel_trade_no.as_deref().map(Cow::from),
            paid_at: order.paid_at,
            attach: order.attach.as_deref().map(Cow::from),
            subject: order.subject.as_deref().map(Cow::from),
        },
    })
}

/// Why a body cannot be encrypted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotEncrypted {
    /// It is not what [`body`] makes.
    #[error("the body is not readable: {0}")]
    Body(#[from] serde_json::Error),
    /// It is too long.
    #[error(transparent)]
    Data(#[from] EncryptionError),
}

/// A body as [`body`] makes it, its data encrypted under `key` and bound to the webhook's `id`. `random` must never be the same
/// again.
pub(crate) fn encrypted(body: &[u8], key: &Key, id: &str, random: u128) -> Result<Vec<u8>, NotEncrypted> {
    let Body { r#type, timestamp, data } = serde_json::from_slice::<Body<'_, &RawValue>>(body)?;
    let data: EncryptedResource = key.seal(data.get().as_bytes(), id, random)?;
    Ok(serde_json::to_vec(&Body { r#type, timestamp, data })?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use time::macros::datetime;

    use super::*;
    use crate::test_events::event;

    #[test]
    fn the_body_tells_what_the_contract_promises() {
        let mut event = event("m1", "10001");
        event.occurred_at = datetime!(2026-01-01 00:00:00.5 UTC);
        event.order.paid_at = Some(datetime!(2026-01-01 08:00:00 +8));
        let told: Value = serde_json::from_slice(&body(&event).unwrap()).unwrap();
        let mut expected = json!({
            "type": "pay.success",
            "timestamp": "2026-01-01T00:00:00.5Z",
            "data": {
                "pay_order_no": event.order.pay_order_no, "order_no": "10001", "merchant_id": "m1",
                "amount_minor": 1999, "currency": "CNY", "refunded_minor": 0, "status": "TRADE_SUCCESS",
                "version": 2, "channel": "std", "channel_trade_no": "T1",
                "paid_at": "2026-01-01T08:00:00+08:00", "attach": null,
            },
        });
        assert_eq!(told, expected);
        event.order.subject = Some("测试 A+B & 100%".to_owned());
        expected["data"]["subject"] = json!("测试 A+B & 100%");
        assert_eq!(serde_json::from_slice::<Value>(&body(&event).unwrap()).unwrap(), expected);
    }

    #[test]
    fn only_the_data_is_encrypted_and_it_is_the_data_that_was() {
        let key = Key::generate([7; 32]);
        let body = body(&event("m1", "10001")).unwrap();
        let sent = encrypted(&body, &key, "msg_1", 42).unwrap();
        let [plain, sent] = [&body, &sent].map(|body| serde_json::from_slice::<Value>(body).unwrap());
        assert_eq!((&sent["type"], &sent["timestamp"]), (&plain["type"], &plain["timestamp"]));
        let resource: EncryptedResource = serde_json::from_value(sent["data"].clone()).unwrap();
        let opened: Value = serde_json::from_slice(&key.open(&resource).unwrap()).unwrap();
        assert_eq!((opened, resource.associated_data.as_str()), (plain["data"].clone(), "msg_1"));
        assert!(encrypted(b"{}", &key, "msg_1", 42).is_err());
    }
}
