//! The `standard` channel: bodies and answers.

use channels::standard::sign;
use channels::{
    Account, Callback, CallbackOutcome, CallbackRefusal, CallbackRequest, ChannelFact, ChannelSet,
};
use events::{ChannelAccount, ContradictionReason, Currency, Fact, FactKind, Money, PayOrderNo};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;
use webhooks::Secret;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

fn channels() -> ChannelSet {
    let text = format!("[gateway_main]\nkind = 'standard'\nsecret = '{SECRET}'");
    ChannelSet::parse(&text, |path| panic!("no file is named, {} was asked for", path.display()))
        .expect("the configuration is right")
}

fn account(channels: &ChannelSet) -> &Account {
    channels.account("gateway_main").expect("the account is configured")
}

/// What becomes of an authentic callback with this body.
fn verify(body: &str) -> Result<Callback, CallbackRefusal> {
    let secret: Secret = SECRET.parse().expect("the secret is right");
    let sent = sign(body.to_owned(), "evt_1", &secret, NOW).expect("the id is right");
    let request = CallbackRequest { headers: &sent.headers(), body: sent.body.as_bytes() };
    account(&channels()).verify(&request, NOW)
}

/// A body that is right for a successful payment.
fn success() -> Value {
    json!({"type": "payment.succeeded", "timestamp": "2026-01-01T00:00:00Z", "data": {
        "pay_order_no": "P1", "channel_trade_no": "T1", "amount_minor": 1999, "currency": "CNY",
        "status": "SUCCESS", "success_time": "2026-01-01T07:59:58.1234567+08:00"
    }})
}

/// `success()` as another type and with some fields of `data` replaced; `null` removes one.
fn with(kind: &str, changes: &Value) -> Value {
    let mut body = success();
    body["type"] = kind.into();
    for (field, value) in changes.as_object().expect("changes are an object") {
        body["data"][field] = value.clone();
    }
    body["data"].as_object_mut().expect("data is an object").retain(|_, value| !value.is_null());
    body
}

fn stated(body: &Value) -> ChannelFact {
    match verify(&body.to_string()) {
        Ok(Callback::Fact(stated)) => stated,
        other => panic!("expected a fact from {body}, got {other:?}"),
    }
}

/// The detail of the refusal of a body that is authentic but wrong.
fn unreadable(body: &str) -> String {
    match verify(body) {
        Err(CallbackRefusal::Unreadable { detail }) => detail,
        other => panic!("expected {body} to be unreadable, got {other:?}"),
    }
}

#[test]
fn a_success_states_who_paid_what_and_when() {
    let expected = ChannelFact {
        dedupe_id: "evt_1".to_owned(),
        pay_order_no: PayOrderNo::parse("P1").unwrap(),
        fact: Fact {
            kind: FactKind::Succeeded { paid_at: datetime!(2025-12-31 23:59:58.123_456 UTC) },
            account: Some(ChannelAccount::parse("gateway_main").unwrap()),
            amount: Some(Money::new(1999, Currency::parse("CNY").unwrap())),
            channel_trade_no: Some("T1".to_owned()),
            accepted: false,
        },
    };
    assert_eq!(stated(&success()), expected);
}

#[test]
fn failures_and_closes_need_neither_trade_nor_time() {
    let absent = |status: &str| json!({"status": status, "channel_trade_no": null, "success_time": null});
    assert_eq!(stated(&with("payment.failed", &absent("FAILED"))).fact.kind, FactKind::Failed);
    let closed = stated(&with("payment.closed", &absent("CLOSED"))).fact;
    assert_eq!((closed.kind, closed.channel_trade_no), (FactKind::Closed, None));
}

#[test]
fn a_refund_states_the_sum_of_all_refunds() {
    let refund = |changes: &Value| stated(&with("refund.succeeded", changes)).fact.kind;
    let refunded_minor = 500;
    assert_eq!(
        refund(&json!({"status": "REFUNDED", "refunded_minor": 500})),
        FactKind::Refunded { refunded_minor, refunded_at: datetime!(2025-12-31 23:59:58.123_456 UTC) }
    );
    assert_eq!(
        refund(&json!({"status": "REFUNDED", "refunded_minor": 500, "success_time": null})),
        FactKind::Refunded { refunded_minor, refunded_at: NOW }
    );
}

#[test]
fn unknown_types_and_fields_are_no_error() {
    let body = json!({"type": "payout.created", "data": "anything"}).to_string();
    let Ok(Callback::Ignored { dedupe_id, reason }) = verify(&body) else { panic!("not ignored") };
    assert_eq!(dedupe_id, "evt_1");
    assert!(reason.contains("payout.created") && reason.contains("names no pay order"), "{reason}");
    // Somebody must look at what concerns a pay order.
    let body =
        json!({"type": "dispute.opened", "data": {"pay_order_no": "P1", "amount_minor": "?"}}).to_string();
    match verify(&body) {
        Ok(Callback::Unbooked { dedupe_id, pay_order_no: Some(number), code, reason }) => {
            assert_eq!(
                (dedupe_id.as_str(), number.as_str(), code),
                ("evt_1", "P1", channels::unbooked::UNKNOWN_EVENT)
            );
            assert!(reason.contains("dispute.opened"), "{reason}");
        }
        other => panic!("{other:?}"),
    }

    let more = with("payment.succeeded", &json!({"buyer": {"name": "x"}, "receipt_amount": 1}));
    assert_eq!(stated(&more), stated(&success()));
}

#[test]
fn a_wrong_field_is_named() {
    for (field, value) in [
        ("pay_order_no", json!(null)),
        ("pay_order_no", json!("a b")),
        ("channel_trade_no", json!(null)),
        ("channel_trade_no", json!("")),
        ("channel_trade_no", json!("a\u{0}b")),
        ("channel_trade_no", json!("9".repeat(129))),
        ("amount_minor", json!(null)),
        ("amount_minor", json!(-1)),
        ("currency", json!(null)),
        ("currency", json!("cny")),
        ("status", json!(null)),
        ("status", json!("FAILED")),
        ("success_time", json!(null)),
        ("success_time", json!("1969-12-31T23:59:59Z")),
    ] {
        let detail = unreadable(&with("payment.succeeded", &json!({field: value})).to_string());
        assert!(detail.contains(field), "{field} = {value}: {detail}");
    }
    for changes in [json!({"status": "REFUNDED"}), json!({"status": "REFUNDED", "refunded_minor": -1})] {
        let detail = unreadable(&with("refund.succeeded", &changes).to_string());
        assert!(detail.contains("refunded_minor"), "{changes}: {detail}");
    }
}

#[test]
fn amounts_are_integers_and_times_rfc_3339() {
    for (field, value) in [
        ("amount_minor", json!("1999")),
        ("amount_minor", json!(19.99)),
        ("amount_minor", json!(9_223_372_036_854_775_808_u64)),
        ("success_time", json!(1_767_225_598)),
        ("success_time", json!("2026-01-01 00:00:00")),
        ("success_time", json!("2026-01-01T00:00:00")),
        // Beyond what the calendar can hold once it is moved to UTC.
        ("success_time", json!("9999-12-31T23:59:59-23:59")),
        ("success_time", json!("0000-01-01T00:00:00+23:59")),
    ] {
        unreadable(&with("payment.succeeded", &json!({field: value})).to_string());
    }
}

#[test]
fn what_is_no_such_json_is_unreadable() {
    let amount = "\"amount_minor\":1999";
    let twice = success().to_string().replacen(amount, &format!("\"amount_minor\":1,{amount}"), 1);
    assert!(unreadable(&twice).contains("duplicate"));
    for body in ["", "null", "[]", "{}", "{\"type\":1}", "\u{feff}{}", &format!("{} x", success())] {
        unreadable(body);
    }
}

#[test]
fn a_long_value_makes_no_long_detail() {
    let long = with("payment.succeeded", &json!({"status": "x".repeat(9_000)}));
    assert_eq!(unreadable(&long.to_string()).chars().count(), 300);
}

#[test]
fn every_outcome_has_its_answer() {
    let channels = channels();
    let answer = |outcome: &CallbackOutcome<'_>| account(&channels).answer(outcome);
    for outcome in [CallbackOutcome::Accepted, CallbackOutcome::Duplicate, CallbackOutcome::Ignored] {
        let answer = answer(&outcome);
        assert_eq!((answer.status, answer.content_type, answer.body.as_str()), (204, None, ""));
    }
    let forged = CallbackRefusal::BadSignature { detail: "no signature matches".to_owned() };
    let strange = CallbackRefusal::Unreadable { detail: "status: …".to_owned() };
    for (outcome, status, code) in [
        (CallbackOutcome::Refused(&forged), 401, "bad_signature"),
        (CallbackOutcome::Refused(&CallbackRefusal::TooOld { age_seconds: 301 }), 401, "too_old"),
        (CallbackOutcome::Refused(&CallbackRefusal::TooNew { ahead_seconds: 301 }), 401, "too_new"),
        (CallbackOutcome::Refused(&strange), 422, "unreadable"),
        (CallbackOutcome::Contradiction(ContradictionReason::AmountMismatch), 409, "contradiction"),
        (CallbackOutcome::UnknownPayOrder, 404, "unknown_pay_order"),
        (CallbackOutcome::NotPersisted, 503, "not_persisted"),
    ] {
        let answer = answer(&outcome);
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(
            (answer.status, answer.content_type),
            (status, Some("application/problem+json")),
            "{code}"
        );
        assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)));
    }
}
