//! What notices state, and which ones are refused.

use channels::wechatpay::{Kind, Notice, Sent, seal, sign, simulate};
use channels::{Callback, CallbackOutcome, CallbackRefusal, ChannelFact, unbooked};
use events::{ChannelAccount, ContradictionReason, Fact, FactKind, Money, PayOrderNo};
use serde_json::{Value, json};
use time::Duration;
use time::macros::datetime;

use super::support::{ACCOUNT, KEY_ID, NOW, account, paid, signer, stated, vectors, verify, verify_raw};

/// A notice of a payment with these fields replaced; `null` removes one.
fn payment(changes: &Value) -> Value {
    let plain = json!({
        "mchid": "1900000001", "appid": "wxd678efh567hg6787", "out_trade_no": "P1", "transaction_id": "T1",
        "trade_state": "SUCCESS", "success_time": "2026-01-01T07:59:58+08:00",
        "amount": {"total": 1999, "payer_total": 1899, "currency": "CNY"},
    });
    with(plain, changes)
}

/// A notice of a refund with these fields replaced.
fn refund(changes: &Value) -> Value {
    let plain = json!({
        "mchid": "1900000001", "out_trade_no": "P1", "transaction_id": "T1", "refund_id": "R1", "out_refund_no": "O1",
        "refund_status": "SUCCESS", "success_time": "2026-01-02T09:00:00+08:00",
        "amount": {"total": 1999, "refund": 500, "payer_total": 1999, "payer_refund": 500},
    });
    with(plain, changes)
}

fn with(mut plain: Value, changes: &Value) -> Value {
    let fields = plain.as_object_mut().expect("a notice is an object");
    for (field, value) in changes.as_object().expect("changes are an object") {
        fields.insert(field.clone(), value.clone());
    }
    fields.retain(|_, value| !value.is_null());
    plain
}

/// What becomes of an authentic notice of this event.
fn verdict(event_type: &str, plaintext: &str) -> Result<Callback, CallbackRefusal> {
    verify(&account(), &seal((event_type, plaintext), "EV-1", &signer(), NOW).expect("it is signed"))
}

fn of_payment(changes: &Value) -> Result<Callback, CallbackRefusal> {
    verdict("TRANSACTION.SUCCESS", &payment(changes).to_string())
}

fn of_refund(changes: &Value) -> Result<Callback, CallbackRefusal> {
    verdict("REFUND.SUCCESS", &refund(changes).to_string())
}

/// The detail of what is authentic but wrong.
fn unreadable(verdict: Result<Callback, CallbackRefusal>) -> String {
    match verdict {
        Err(CallbackRefusal::Unreadable { detail }) => detail,
        other => panic!("expected to be unreadable, got {other:?}"),
    }
}

#[test]
fn a_payment_states_who_paid_what_and_when() {
    let expected = ChannelFact {
        dedupe_id: "EV-1".to_owned(),
        pay_order_no: PayOrderNo::parse("P1").unwrap(),
        fact: Fact {
            kind: FactKind::Succeeded { paid_at: datetime!(2025-12-31 23:59:58 UTC) },
            account: Some(ChannelAccount::parse(ACCOUNT).unwrap()),
            amount: Some(paid().total),
            channel_trade_no: Some("T1".to_owned()),
            accepted: false,
        },
    };
    assert_eq!(stated(of_payment(&json!({}))), expected);
    let no_currency = json!({"amount": {"total": 1999}});
    assert_eq!(stated(of_payment(&no_currency)), expected, "fen, where no currency is named");
    let simulated = verify(&account(), &simulate(&paid(), "EV-1", &signer(), NOW).unwrap());
    assert_eq!(stated(simulated), expected);
}

#[test]
fn a_trade_state_says_what_is_stated() {
    let kind = |state: &str, more: &Value| {
        let mut changes = more.clone();
        changes["trade_state"] = state.into();
        of_payment(&changes).map(|callback| match callback {
            Callback::Fact(stated) => Some(stated.fact.kind),
            Callback::Ignored { .. } | Callback::Unbooked { .. } => None,
        })
    };
    let bare = json!({"success_time": null, "transaction_id": null, "amount": null});
    let succeeded = FactKind::Succeeded { paid_at: datetime!(2025-12-31 23:59:58 UTC) };
    assert_eq!(kind("REFUND", &json!({})), Ok(Some(succeeded)));
    assert_eq!(kind("CLOSED", &bare), Ok(Some(FactKind::Closed)));
    assert_eq!(kind("REVOKED", &bare), Ok(Some(FactKind::Closed)));
    assert_eq!(kind("PAYERROR", &bare), Ok(Some(FactKind::Failed)));
    for state in ["NOTPAY", "USERPAYING", "ACCEPT"] {
        assert_eq!(kind(state, &bare), Ok(None), "{state}");
    }
    for field in ["success_time", "transaction_id", "amount"] {
        assert!(unreadable(of_payment(&json!({field: null}))).contains(field));
    }
    assert!(unreadable(of_payment(&json!({"trade_state": "LOST"}))).contains("trade_state"));
}

#[test]
fn a_refund_states_its_own_amount_beside_the_whole_one() {
    let fact = stated(of_refund(&json!({}))).fact;
    let refunded_at = datetime!(2026-01-02 01:00 UTC);
    assert_eq!(
        fact.kind,
        FactKind::PartRefunded { refund_no: "R1".to_owned(), amount_minor: 500, refunded_at }
    );
    assert_eq!((fact.amount, fact.channel_trade_no.as_deref()), (Some(paid().total), Some("T1")));

    let kind = Kind::Refund { refund_id: "R1".to_owned(), amount_minor: 500 };
    let notice = Notice { kind, at: refunded_at, ..paid() };
    assert_eq!(stated(verify(&account(), &simulate(&notice, "EV-1", &signer(), NOW).unwrap())).fact, fact);
}

#[test]
fn other_events_are_kept_if_they_concern_a_pay_order_and_ignored_by_their_true_reason_if_not() {
    let named = r#"{"out_trade_no": "P1"}"#;
    for (event_type, plaintext, code, number) in [
        ("REFUND.ABNORMAL", named, unbooked::REFUND_ABNORMAL, Some("P1")),
        ("REFUND.ABNORMAL", "not even JSON", unbooked::REFUND_ABNORMAL, None),
        ("REFUND.CLOSED", named, unbooked::REFUND_CLOSED, Some("P1")),
        ("COMPLAINT.CREATE", r#"{"complaint_id": "1"}"#, unbooked::COMPLAINT, None),
        ("PAYSCORE.USER_PAID", named, unbooked::UNKNOWN_EVENT, Some("P1")),
        ("TRANSACTION.CLOSED", r#"{"out_trade_no": "a b"}"#, unbooked::UNKNOWN_EVENT, None),
    ] {
        let Ok(Callback::Unbooked { dedupe_id, pay_order_no, code: got, reason }) =
            verdict(event_type, plaintext)
        else {
            panic!("{event_type} {plaintext} is booked")
        };
        assert_eq!((dedupe_id.as_str(), got), ("EV-1", code), "{event_type}");
        assert_eq!(pay_order_no.as_ref().map(PayOrderNo::as_str), number, "{event_type}");
        assert!(reason.contains(event_type), "{reason}");
    }
    for (event_type, plaintext) in [
        ("PAYSCORE.USER_OPEN_SERVICE", "{}"),
        ("COUPON.USE", "not even JSON"),
        ("", r#"{"out_trade_no": null}"#),
    ] {
        let Ok(Callback::Ignored { dedupe_id, reason }) = verdict(event_type, plaintext) else {
            panic!("{event_type} is not ignored")
        };
        assert_eq!(dedupe_id, "EV-1");
        assert!(reason.contains(event_type) && reason.contains("no out_trade_no"), "{reason}");
    }
}

#[test]
fn profit_sharing_is_no_payment_although_its_event_has_the_same_type() {
    let signer = signer();
    let sent = seal(
        ("TRANSACTION.SUCCESS", r#"{"out_order_no": "S1", "transaction_id": "T1"}"#),
        "EV-1",
        &signer,
        NOW,
    );
    let body =
        sent.unwrap().body.replace(r#""original_type":"transaction""#, r#""original_type":"profitsharing""#);
    assert!(body.contains("profitsharing"), "{body}");
    let verdict = verify(&account(), &sign(body, &signer, NOW).unwrap());
    assert!(
        matches!(&verdict, Ok(Callback::Ignored { reason, .. }) if reason.contains("no out_trade_no")),
        "{verdict:?}"
    );
}

#[test]
fn another_merchant_or_application_is_refused_by_name() {
    for (verdict, code) in [
        (of_payment(&json!({"mchid": "1900000002"})), "mchid_mismatch"),
        (of_refund(&json!({"mchid": "1900000002"})), "mchid_mismatch"),
        (of_payment(&json!({"appid": "wx0"})), "appid_mismatch"),
    ] {
        assert_eq!(verdict.as_ref().map_err(CallbackRefusal::code), Err(code), "{verdict:?}");
    }
}

#[test]
fn a_wrong_field_is_named() {
    for (field, value) in [
        ("mchid", json!(null)),
        ("appid", json!(null)),
        ("out_trade_no", json!(null)),
        ("out_trade_no", json!("a b")),
        ("trade_state", json!(null)),
        ("transaction_id", json!("")),
        ("success_time", json!("1969-12-31T23:59:59Z")),
        ("amount.total", json!({"total": -1})),
    ] {
        let changes = json!({(field.split('.').next().unwrap()): value});
        assert!(unreadable(of_payment(&changes)).contains(field), "{field} = {value}");
    }
    for (field, value) in [
        ("refund_id", json!(null)),
        ("refund_id", json!("9".repeat(129))),
        ("refund_status", json!("PROCESSING")),
        ("transaction_id", json!(null)),
        ("success_time", json!(null)),
        ("amount", json!(null)),
        ("amount.refund", json!({"total": 1999})),
        ("amount.refund", json!({"total": 1999, "refund": 0})),
        ("amount.refund", json!({"total": 1999, "refund": -500})),
    ] {
        let changes = json!({(field.split('.').next().unwrap()): value});
        assert!(unreadable(of_refund(&changes)).contains(field), "{field} = {value}");
    }
    for amount in [json!({"total": "1999"}), json!({"total": 19.99}), json!({"total": 1, "currency": "cny"})]
    {
        unreadable(of_payment(&json!({ "amount": amount })));
    }
    assert_eq!(unreadable(of_payment(&json!({"trade_state": "x".repeat(9_000)}))).chars().count(), 300);
    let twice = payment(&json!({})).to_string().replacen("\"total\":1999", "\"total\":1,\"total\":1999", 1);
    assert!(unreadable(verdict("TRANSACTION.SUCCESS", &twice)).contains("duplicate"));
}

#[test]
fn an_envelope_must_be_whole() {
    let sent = |body: &Value| verify(&account(), &sign(body.to_string(), &signer(), NOW).unwrap());
    let resource = json!({"algorithm": "AEAD_AES_256_GCM", "ciphertext": "AAAA", "nonce": "fdasflkja484"});
    let envelope =
        |resource: &Value| json!({"id": "EV-1", "event_type": "TRANSACTION.SUCCESS", "resource": resource});
    assert_eq!(sent(&envelope(&resource)), Err(CallbackRefusal::DecryptFailed));
    assert_eq!(
        sent(&envelope(&with(resource.clone(), &json!({"ciphertext": ""})))),
        Err(CallbackRefusal::DecryptFailed)
    );
    for (field, value) in [
        ("ciphertext", json!(null)),
        ("ciphertext", json!("A")),
        ("nonce", json!(null)),
        ("nonce", json!("short")),
        ("nonce", json!("thirteen chars")),
        ("algorithm", json!(null)),
    ] {
        let detail = unreadable(sent(&envelope(&with(resource.clone(), &json!({field: value})))));
        assert!(detail.contains(field), "{field} = {value}: {detail}");
    }
    for body in [
        json!(null),
        json!({}),
        json!({"id": "EV-1"}),
        json!({"event_type": "TRANSACTION.SUCCESS"}),
        json!({"id": "", "event_type": "TRANSACTION.SUCCESS"}),
        json!({"id": "a b", "event_type": "REFUND.CLOSED"}),
        json!({"id": "x".repeat(256), "event_type": "REFUND.CLOSED"}),
    ] {
        unreadable(sent(&body));
    }
}

/// Data that is authenticated beside the ciphertext may be absent or empty, which is the same.
#[test]
fn associated_data_may_be_empty_and_must_be_right() {
    let sealed =
        seal(("TRANSACTION.SUCCESS", &payment(&json!({})).to_string()), "EV-1", &signer(), NOW).unwrap();
    let mut body: Value = serde_json::from_str(&sealed.body).unwrap();
    body["resource"]["associated_data"] = "refund".into();
    let sent = sign(body.to_string(), &signer(), NOW).unwrap();
    assert_eq!(verify(&account(), &sent), Err(CallbackRefusal::DecryptFailed));

    // An event type without a part before its point is sealed without associated data.
    let sealed = seal((".", &payment(&json!({})).to_string()), "EV-1", &signer(), NOW).unwrap();
    let mut body: Value = serde_json::from_str(&sealed.body).unwrap();
    body["event_type"] = "TRANSACTION.SUCCESS".into();
    for absent in [json!(""), json!(null)] {
        body["resource"]["associated_data"] = absent;
        stated(verify(&account(), &sign(body.to_string(), &signer(), NOW).unwrap()));
    }
}

/// What becomes of a good callback with one header replaced, or removed.
fn with_header(name: &str, value: Option<&str>) -> Result<Callback, CallbackRefusal> {
    let sent = simulate(&paid(), "EV-1", &signer(), NOW).expect("it is signed");
    let others = sent.headers().into_iter().filter(|(known, _)| *known != name);
    let headers: Vec<_> = others.chain(value.map(|value| (name, value))).collect();
    verify_raw(&account(), &headers, sent.body.as_bytes(), NOW)
}

#[test]
fn headers_must_be_there_and_right() {
    let code = |name: &str, value: Option<&str>| {
        with_header(name, value).as_ref().map_err(CallbackRefusal::code).err()
    };
    for name in ["wechatpay-timestamp", "wechatpay-nonce", "wechatpay-serial", "wechatpay-signature"] {
        assert_eq!(code(name, None), Some("missing_header"), "{name}");
    }
    let probe = "WECHATPAY/SIGNTEST/dGhpcyBpcyBubyBzaWduYXR1cmU=";
    let long = "n".repeat(129);
    for (name, value, expected) in [
        ("wechatpay-timestamp", "+1767225600", Some("malformed_header")),
        ("wechatpay-timestamp", "soon", Some("malformed_header")),
        ("wechatpay-timestamp", "", Some("malformed_header")),
        ("wechatpay-timestamp", "99999999999999999999", Some("malformed_header")),
        ("wechatpay-timestamp", "1767225601", Some("bad_signature")),
        ("wechatpay-nonce", "", Some("malformed_header")),
        ("wechatpay-nonce", "a\nb", Some("malformed_header")),
        ("wechatpay-nonce", &long, Some("malformed_header")),
        ("wechatpay-nonce", "another", Some("bad_signature")),
        ("wechatpay-serial", "", Some("unknown_serial")),
        ("wechatpay-serial", KEY_ID, Some("bad_signature")),
        ("wechatpay-serial", "005157f09efdc096de15ebe81a47057a7232f1b8e1", None),
        ("wechatpay-signature", "", Some("bad_signature")),
        ("wechatpay-signature", "not base64!", Some("bad_signature")),
        ("wechatpay-signature", probe, Some("probe")),
        ("wechatpay-signature-type", "WECHATPAY2-SM2-WITH-SM3", Some("unsupported_signature_type")),
        ("wechatpay-signature-type", "", Some("unsupported_signature_type")),
    ] {
        assert_eq!(code(name, Some(value)), expected, "{name}: {value}");
    }
    assert_eq!(code("wechatpay-signature-type", None), None, "the type is RSA where none is named");
}

#[test]
fn five_minutes_from_our_clock_are_too_far_on_either_side() {
    let sent = simulate(&paid(), "EV-1", &signer(), NOW).unwrap();
    let at = |seconds| {
        verify_raw(&account(), &sent.headers(), sent.body.as_bytes(), NOW + Duration::seconds(seconds))
    };
    for seconds in [-299, 0, 299] {
        stated(at(seconds));
    }
    for seconds in [-300, 300] {
        assert_eq!(at(seconds), Err(CallbackRefusal::Expired { distance_seconds: 300 }), "{seconds}");
    }
}

#[test]
fn every_outcome_has_its_answer() {
    let channels = account();
    let answer = |outcome: CallbackOutcome<'_>| {
        let answer = channels.account(ACCOUNT).unwrap().answer(&outcome);
        assert_eq!(answer.content_type, Some("application/json"));
        (answer.status, serde_json::from_str::<Value>(&answer.body).unwrap())
    };
    for outcome in [CallbackOutcome::Accepted, CallbackOutcome::Duplicate, CallbackOutcome::Ignored] {
        assert_eq!(answer(outcome), (200, json!({"code": "SUCCESS", "message": "成功"})));
    }
    let forged = CallbackRefusal::BadSignature { detail: "no".to_owned() };
    for (outcome, status, message) in [
        (CallbackOutcome::Refused(&forged), 401, "bad_signature"),
        (CallbackOutcome::Refused(&CallbackRefusal::Probe), 401, "probe"),
        (CallbackOutcome::Refused(&CallbackRefusal::DecryptFailed), 500, "decrypt_failed"),
        (CallbackOutcome::Contradiction(ContradictionReason::SecondTrade), 500, "second_trade"),
        (CallbackOutcome::UnknownPayOrder, 404, "unknown_pay_order"),
        (CallbackOutcome::NotPersisted, 503, "not_persisted"),
    ] {
        assert_eq!(answer(outcome), (status, json!({"code": "FAIL", "message": message})));
    }
}

/// The certificate's key and the public key sign in turn, as they do while one replaces the other.
#[test]
fn certificate_and_public_key_are_taken_side_by_side() {
    let channels = account();
    let mut signer = signer();
    stated(verify(&channels, &simulate(&paid(), "EV-1", &signer, NOW).unwrap()));
    signer.serial = KEY_ID.to_owned();
    let verdict = verify(&channels, &simulate(&paid(), "EV-1", &signer, NOW).unwrap());
    assert!(matches!(verdict, Err(CallbackRefusal::BadSignature { .. })), "{verdict:?}");
    signer.key = vectors().config.public_key_private_key.parse().unwrap();
    stated(verify(&channels, &simulate(&paid(), "EV-1", &signer, NOW).unwrap()));
    signer.serial.push('0');
    let verdict = verify(&channels, &simulate(&paid(), "EV-1", &signer, NOW).unwrap());
    assert!(matches!(verdict, Err(CallbackRefusal::UnknownSerial { .. })), "{verdict:?}");
}

#[test]
fn header_names_are_taken_in_any_case() {
    let sent: Sent = simulate(&paid(), "EV-1", &signer(), NOW).unwrap();
    let upper = sent.headers().map(|(name, value)| (name.to_ascii_uppercase(), value));
    let headers = upper.each_ref().map(|(name, value)| (name.as_str(), *value));
    stated(verify_raw(&account(), &headers, sent.body.as_bytes(), NOW));
}

#[test]
fn amounts_of_any_size_pass() {
    for amount_minor in [0, 1, i64::MAX] {
        let notice = Notice { total: Money { amount_minor, ..paid().total }, ..paid() };
        let sent = simulate(&notice, "EV-1", &signer(), NOW).unwrap();
        assert_eq!(stated(verify(&account(), &sent)).fact.amount, Some(notice.total));
    }
}
