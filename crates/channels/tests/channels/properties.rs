//! Whatever comes in: no panic, no change on the way, and what is signed is what is read.

use channels::standard::{Kind, Notice, sign, simulate};
use channels::{Callback, CallbackRefusal, CallbackRequest, ChannelSet};
use events::{Currency, FactKind, Money, PayOrderNo, to_micros};
use proptest::prelude::*;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use webhooks::Secret;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

fn secret() -> Secret {
    SECRET.parse().expect("the secret is right")
}

fn verify(headers: &[(&str, &str)], body: &[u8]) -> Result<Callback, CallbackRefusal> {
    let text = format!("[gateway_main]\nkind = 'standard'\nsecret = '{SECRET}'");
    let channels =
        ChannelSet::parse(&text, |_| Err(std::io::ErrorKind::NotFound.into())).expect("it is right");
    channels.account("gateway_main").expect("it is there").verify(&CallbackRequest { headers, body }, NOW)
}

fn any_time() -> impl Strategy<Value = OffsetDateTime> {
    let last_second = datetime!(9999-12-31 23:59:59 UTC).unix_timestamp();
    (0..=last_second, 0..1_000_000_000_i64).prop_map(|(seconds, nanoseconds)| {
        OffsetDateTime::UNIX_EPOCH + Duration::seconds(seconds) + Duration::nanoseconds(nanoseconds)
    })
}

fn any_money() -> impl Strategy<Value = Money> {
    (0..=i64::MAX, prop::sample::select(vec!["CNY", "USD", "JPY", "KWD", "CLF"])).prop_map(
        |(amount_minor, code)| Money::new(amount_minor, Currency::parse(code).expect("it is listed")),
    )
}

fn any_notice() -> impl Strategy<Value = Notice> {
    let kinds = [Kind::PaymentSucceeded, Kind::PaymentFailed, Kind::PaymentClosed, Kind::RefundSucceeded];
    let kind = prop::sample::select(kinds.to_vec());
    (kind, "[A-Za-z0-9_.:@-]{1,64}", "[!-~]{1,128}", any_money(), any_time(), 0..=i64::MAX).prop_map(
        |(kind, pay_order_no, channel_trade_no, amount, at, refunded_minor)| Notice {
            kind,
            pay_order_no: PayOrderNo::parse(pay_order_no).expect("it is valid"),
            channel_trade_no,
            amount,
            at,
            refunded_minor: (kind == Kind::RefundSucceeded).then_some(refunded_minor),
        },
    )
}

proptest! {
    #[test]
    fn what_a_channel_tells_is_what_is_read(notice in any_notice(), webhook_id in "[!-\\-/-~]{1,255}") {
        let sent = simulate(&notice, &webhook_id, &secret(), NOW).unwrap();
        let verdict = verify(&sent.headers(), sent.body.as_bytes());
        let Ok(Callback::Fact(stated)) = verdict else {
            return Err(TestCaseError::fail(format!("{verdict:?} for {}", sent.body)));
        };
        let at = to_micros(notice.at);
        let kind = match notice.kind {
            Kind::PaymentSucceeded => FactKind::Succeeded { paid_at: at },
            Kind::PaymentFailed => FactKind::Failed,
            Kind::PaymentClosed => FactKind::Closed,
            Kind::RefundSucceeded => {
                FactKind::Refunded { refunded_minor: notice.refunded_minor.unwrap(), refunded_at: at }
            }
        };
        prop_assert_eq!(stated.dedupe_id, webhook_id);
        prop_assert_eq!(stated.pay_order_no, notice.pay_order_no);
        prop_assert_eq!(stated.fact.kind, kind);
        prop_assert_eq!(stated.fact.amount, Some(notice.amount));
        prop_assert_eq!(stated.fact.channel_trade_no, Some(notice.channel_trade_no));
    }

    #[test]
    fn any_changed_byte_is_refused(notice in any_notice(), at: prop::sample::Index, byte: u8) {
        let sent = simulate(&notice, "evt_1", &secret(), NOW).unwrap();
        let mut body = sent.body.clone().into_bytes();
        let at = at.index(body.len());
        prop_assume!(body[at] != byte);
        body[at] = byte;
        let verdict = verify(&sent.headers(), &body);
        prop_assert!(matches!(verdict, Err(CallbackRefusal::BadSignature { .. })), "{:?}", verdict);
    }

    #[test]
    fn arbitrary_requests_are_refused_without_a_panic(
        headers: Vec<(String, String)>,
        signature: String,
        body: Vec<u8>,
    ) {
        let mut pairs: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        pairs.extend([("webhook-id", "evt_1"), ("webhook-timestamp", "1767225600")]);
        pairs.push(("webhook-signature", &signature));
        let verdict = verify(&pairs, &body);
        prop_assert!(verdict.as_ref().is_err_and(|refusal| !refusal.is_authentic()), "{:?}", verdict);
    }

    #[test]
    fn arbitrary_signed_bodies_are_judged_without_a_panic(body: String) {
        let sent = sign(body, "evt_1", &secret(), NOW).unwrap();
        let verdict = verify(&sent.headers(), sent.body.as_bytes());
        prop_assert!(matches!(verdict, Err(CallbackRefusal::Unreadable { .. })), "{:?}", verdict);
    }

    /// Bodies of the right shape with wild values, to get behind the JSON parser.
    #[test]
    fn wild_values_are_judged_without_a_panic(
        kind in "(payment|refund)[.]succeeded",
        amount_minor: i64,
        refunded_minor: i64,
        trade in "\\PC{0,140}",
        time in "[0-9]{4}-(0[1-9]|1[0-2])-[0-3][1-8]T[01][0-9]:[0-5][0-9]:[0-6][0-9]([.][0-9]{1,12})?(Z|[+-][01][0-9]:[0-5][0-9])",
    ) {
        let status = if kind == "payment.succeeded" { "SUCCESS" } else { "REFUNDED" };
        let body = serde_json::json!({"type": kind, "timestamp": time, "data": {
            "pay_order_no": "P1", "channel_trade_no": trade, "amount_minor": amount_minor, "currency": "CNY",
            "status": status, "success_time": time, "refunded_minor": refunded_minor
        }});
        let sent = sign(body.to_string(), "evt_1", &secret(), NOW).unwrap();
        match verify(&sent.headers(), sent.body.as_bytes()) {
            Ok(Callback::Fact(stated)) => prop_assert!(stated.fact.amount.unwrap().amount_minor >= 0),
            Err(CallbackRefusal::Unreadable { .. }) => {}
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        }
    }

    #[test]
    fn arbitrary_configuration_is_judged_without_a_panic(text: String) {
        drop(ChannelSet::parse(&text, |_| Err(std::io::ErrorKind::NotFound.into())));
    }
}
