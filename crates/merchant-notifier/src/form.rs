//! The format `form-md5`: what merchants with code for gateways of the Jeepay kind expect.

use events::{PayOrderNo, Status};
use time::OffsetDateTime;
use url::form_urlencoded;
use webhooks::form_md5::{Key, SIGN, sign};

use crate::webhook::{Body, Data};

/// The content type of [`encode`].
pub(crate) const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// The form for one attempt, signed at `now`, of a body as [`crate::webhook::body`] makes it.
pub(crate) fn encode(body: &[u8], key: &Key, now: OffsetDateTime) -> Result<String, serde_json::Error> {
    let body: Body<'_, Data<'_>> = serde_json::from_slice(body)?;
    let mut fields = fields(&body.data, now);
    let signature = sign(&fields, key);
    fields.push((SIGN, signature));
    Ok(form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish())
}

/// All fields that have a value, but for the signature. Times are milliseconds since 1970, amounts minor units.
///
/// We have no applications beside merchants and no ways beside channel accounts, so either stands twice, for code that demands
/// every field. `refundAmount` is all that was refunded so far; gateways of the kind ask for it elsewhere.
fn fields(data: &Data<'_>, now: OffsetDateTime) -> Vec<(&'static str, String)> {
    let text = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().unwrap_or_default().to_owned();
    let time = |time: Option<OffsetDateTime>| time.map(millis).unwrap_or_default();
    let refunded = if data.refunded_minor > 0 { data.refunded_minor.to_string() } else { String::new() };
    let mut fields = vec![
        ("payOrderId", data.pay_order_no.to_string()),
        ("mchNo", data.merchant_id.to_string()),
        ("appId", data.merchant_id.to_string()),
        ("mchOrderNo", data.order_no.to_string()),
        ("ifCode", data.channel.to_string()),
        ("wayCode", data.channel.to_string()),
        ("amount", data.amount_minor.to_string()),
        ("currency", data.currency.to_lowercase()),
        ("state", state(data.status).to_string()),
        ("refundAmount", refunded),
        ("subject", text(&data.subject)),
        ("channelOrderNo", text(&data.channel_trade_no)),
        ("extParam", text(&data.attach)),
        ("successTime", time(data.paid_at)),
        ("createdAt", time(created_at(&data.pay_order_no))),
        ("reqTime", millis(now)),
    ];
    fields.retain(|(_, value)| !value.is_empty());
    fields
}

/// What was refunded in part stays paid, as it does there: 5 means that all the money went back.
fn state(status: Status) -> u8 {
    match status {
        Status::NotCommit => 0,
        Status::WaitBuyerPay => 1,
        Status::TradeSuccess | Status::PartiallyRefunded => 2,
        Status::TradeFailed => 3,
        Status::TradeRefunded => 5,
        Status::TradeClosed => 6,
    }
}

/// When the pay order was made: our own numbers tell it, those of upstream services do not.
fn created_at(pay_order_no: &str) -> Option<OffsetDateTime> {
    PayOrderNo::parse(pay_order_no).ok()?.made_at()
}

fn millis(time: OffsetDateTime) -> String {
    (time.unix_timestamp_nanos() / 1_000_000).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use time::macros::datetime;
    use webhooks::form_md5::verify;

    use super::*;
    use crate::test_events::event;
    use crate::webhook;

    const NOW: OffsetDateTime = datetime!(2026-01-01 00:00:00.25 UTC);

    fn form(event: &events::PayEvent, key: &Key) -> BTreeMap<String, String> {
        let encoded = encode(&webhook::body(event).unwrap(), key, NOW).unwrap();
        let fields: Vec<(String, String)> = form_urlencoded::parse(encoded.as_bytes()).into_owned().collect();
        assert!(verify(&fields, key), "{encoded}");
        fields.into_iter().collect()
    }

    #[test]
    fn the_form_has_the_fields_of_the_kind() {
        let key: Key = "test_app_secret_0001".parse().unwrap();
        let mut event = event("m1", "M10001");
        event.order.pay_order_no = PayOrderNo::parse("P019B76DAA80000080000000000000AB").unwrap();
        event.order.paid_at = Some(datetime!(2026-01-01 08:00:00.123456 +8));
        event.order.subject = Some("测试 A+B & 100%".to_owned());
        event.order.attach = Some("a=b&c".to_owned());
        let mut form = form(&event, &key);
        assert_eq!(form.remove("sign").unwrap().len(), 32);
        let expected = [
            ("amount", "1999"),
            ("appId", "m1"),
            ("channelOrderNo", "T1"),
            ("createdAt", "1767225600000"),
            ("currency", "cny"),
            ("extParam", "a=b&c"),
            ("ifCode", "std"),
            ("mchNo", "m1"),
            ("mchOrderNo", "M10001"),
            ("payOrderId", "P019B76DAA80000080000000000000AB"),
            ("reqTime", "1767225600250"),
            ("state", "2"),
            ("subject", "测试 A+B & 100%"),
            ("successTime", "1767225600123"),
            ("wayCode", "std"),
        ];
        assert_eq!(form.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_there_is_not_is_left_out() {
        let key = Key::generate([7; 32]);
        let mut event = event("m1", "M10001");
        event.order.pay_order_no = PayOrderNo::parse("UP-10001").unwrap();
        event.order.paid_at = None;
        event.order.channel_trade_no = None;
        let form = form(&event, &key);
        for absent in ["createdAt", "successTime", "channelOrderNo", "subject", "extParam", "refundAmount"] {
            assert!(!form.contains_key(absent), "{absent}: {form:?}");
        }
    }

    #[test]
    fn statuses_have_the_states_of_the_kind() {
        let key = Key::generate([7; 32]);
        for (status, refunded_minor, state, refund) in [
            (Status::NotCommit, 0, "0", None),
            (Status::WaitBuyerPay, 0, "1", None),
            (Status::TradeSuccess, 0, "2", None),
            (Status::TradeFailed, 0, "3", None),
            (Status::PartiallyRefunded, 500, "2", Some("500")),
            (Status::TradeRefunded, 1999, "5", Some("1999")),
            (Status::TradeClosed, 0, "6", None),
        ] {
            let mut event = event("m1", "M10001");
            (event.order.status, event.order.refunded_minor) = (status, refunded_minor);
            let form = form(&event, &key);
            assert_eq!(
                (form["state"].as_str(), form.get("refundAmount").map(String::as_str)),
                (state, refund)
            );
        }
    }

    #[test]
    fn a_body_of_another_shape_is_refused() {
        assert!(encode(br#"{"type":"pay.success","data":{}}"#, &Key::generate([7; 32]), NOW).is_err());
    }
}
