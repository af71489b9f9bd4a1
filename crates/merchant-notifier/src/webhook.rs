//! What a merchant is told: the body in the format `standard`.

use events::{PayEvent, Status};
use serde::Serialize;
use time::OffsetDateTime;

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'a str,
    #[serde(with = "time::serde::rfc3339")]
    timestamp: OffsetDateTime,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    pay_order_no: &'a str,
    order_no: &'a str,
    merchant_id: &'a str,
    amount_minor: i64,
    currency: String,
    refunded_minor: i64,
    status: Status,
    version: i64,
    channel: &'a str,
    channel_trade_no: Option<&'a str>,
    #[serde(with = "time::serde::rfc3339::option")]
    paid_at: Option<OffsetDateTime>,
    attach: Option<&'a str>,
}

/// The JSON of an event. Built once, when the notification is made: every attempt sends the same bytes.
pub(crate) fn body(event: &PayEvent) -> Result<Vec<u8>, serde_json::Error> {
    let order = &event.order;
    serde_json::to_vec(&Body {
        r#type: event.event_type.as_str(),
        timestamp: event.occurred_at,
        data: Data {
            pay_order_no: order.pay_order_no.as_str(),
            order_no: order.order_no.as_str(),
            merchant_id: order.merchant_id.as_str(),
            amount_minor: order.amount.amount_minor,
            currency: order.amount.currency.to_string(),
            refunded_minor: order.refunded_minor,
            status: order.status,
            version: order.version,
            channel: order.channel.as_str(),
            channel_trade_no: order.channel_trade_no.as_deref(),
            paid_at: order.paid_at,
            attach: order.attach.as_deref(),
        },
    })
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
        assert_eq!(
            told,
            json!({
                "type": "pay.success",
                "timestamp": "2026-01-01T00:00:00.5Z",
                "data": {
                    "pay_order_no": event.order.pay_order_no, "order_no": "10001", "merchant_id": "m1",
                    "amount_minor": 1999, "currency": "CNY", "refunded_minor": 0, "status": "TRADE_SUCCESS",
                    "version": 2, "channel": "std", "channel_trade_no": "T1",
                    "paid_at": "2026-01-01T08:00:00+08:00", "attach": null,
                },
            })
        );
    }
}
