//! Every case of the vectors, with its reason and its answer.

use channels::{Callback, CallbackOutcome, CallbackRefusal, ChannelFact};
use events::{ContradictionReason, FactKind, Money};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::support::{ACCOUNT, Case, account, channels, fields, stated, vectors, verify_raw};

/// The cases and their reasons, so that none is missed if the file changes.
const CASES: [(&str, &str); 15] = [
    ("valid_cert_mode", "ok"),
    ("valid_public_key_mode", "ok"),
    ("tampered_body", "bad_signature"),
    ("wrong_key_same_serial", "bad_signature"),
    ("unknown_serial", "unknown_serial"),
    ("missing_wechatpay-timestamp", "missing_header"),
    ("missing_wechatpay-nonce", "missing_header"),
    ("missing_wechatpay-serial", "missing_header"),
    ("missing_wechatpay-signature", "missing_header"),
    ("age_299s", "ok"),
    ("future_301s", "expired"),
    ("aead_wrong_apiv3_key", "decrypt_failed"),
    ("algorithm_not_configured", "unsupported_algorithm"),
    ("amount_mismatch", "amount_mismatch"),
    ("refund_success_event", "refund_event"),
];

/// The outcome of a case for its channel. The amount is compared as the ingress does it: with the pay order's.
fn outcome(verdict: &Result<Callback, CallbackRefusal>, order: Money) -> (String, CallbackOutcome<'_>) {
    match verdict {
        Err(refusal) => (refusal.code().to_owned(), CallbackOutcome::Refused(refusal)),
        Ok(Callback::Unbooked { code, .. }) => panic!("{code} is not in the vectors"),
        Ok(Callback::Ignored { reason, .. }) => (reason.clone(), CallbackOutcome::Ignored),
        Ok(Callback::Fact(ChannelFact { fact, .. })) if fact.amount != Some(order) => {
            let reason = ContradictionReason::AmountMismatch;
            (reason.as_str().to_owned(), CallbackOutcome::Contradiction(reason))
        }
        Ok(Callback::Fact(stated)) => match stated.fact.kind {
            FactKind::PartRefunded { .. } => ("refund_event".to_owned(), CallbackOutcome::Accepted),
            _ => ("ok".to_owned(), CallbackOutcome::Accepted),
        },
    }
}

#[test]
fn every_case_has_its_reason_and_its_answer() {
    let vectors = vectors();
    let channels = account();
    let found: Vec<_> =
        vectors.cases.iter().map(|case| (case.name.as_str(), case.expect.reason.as_str())).collect();
    assert_eq!(found, CASES);
    let order = vectors.config.orders["P202601010001"];
    for Case { name, now, request, expect } in &vectors.cases {
        let now = OffsetDateTime::from_unix_timestamp(*now).unwrap();
        let verdict = verify_raw(&channels, &request.headers(), &request.body(), now);
        let (reason, outcome) = outcome(&verdict, order);
        assert_eq!(&reason, &expect.reason, "{name}: {verdict:?}");
        let taken = matches!(outcome, CallbackOutcome::Accepted);
        assert_eq!(taken, expect.accept, "{name}");

        let answer = channels.account(ACCOUNT).unwrap().answer(&outcome);
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((answer.status, &body), (expect.http_status, &expect.http_body), "{name}");
        assert_eq!(answer.content_type, Some("application/json"), "{name}");
        if !expect.normalized.is_empty() {
            assert_states(name, &stated(verdict), &expect.normalized.clone().into());
        }
    }
}

/// Compares a fact with what the vectors say that it says.
fn assert_states(name: &str, ChannelFact { dedupe_id, pay_order_no, fact }: &ChannelFact, expected: &Value) {
    assert_eq!(json!(pay_order_no), expected["pay_order_id"], "{name}");
    match &fact.kind {
        FactKind::Succeeded { paid_at } => {
            assert_eq!(expected["status"], "SUCCEEDED", "{name}");
            let time = expected["success_time"].as_str().map(|text| OffsetDateTime::parse(text, &Rfc3339));
            assert_eq!(Some(Ok(*paid_at)), time, "{name}");
            assert_eq!(json!(dedupe_id), expected["dedupe_key"], "{name}");
            assert_eq!(json!(fact.channel_trade_no), expected["channel_txn"], "{name}");
            let amount = fact.amount.expect("an amount");
            assert_eq!(json!(amount.amount_minor), expected["amount_minor"], "{name}");
            assert_eq!(json!(amount.currency), expected["currency"], "{name}");
        }
        FactKind::PartRefunded { amount_minor, .. } => {
            assert_eq!(expected["status"], "REFUNDED_PARTIAL", "{name}");
            assert_eq!(json!(amount_minor), expected["refund_minor"], "{name}");
        }
        other => panic!("{name}: {other:?}"),
    }
}

/// The official example has a key of 16 bytes, which no account can have: it is authentic, and of an event that is ignored or
/// cannot be decrypted.
#[test]
fn the_official_signature_is_taken_by_the_serial_of_its_certificate() {
    let vectors = vectors();
    let official = &vectors.official[0];
    assert_eq!(official["name"], "official_go_notify_full");
    let case: Case = serde_json::from_value(json!({
        "name": official["name"], "now": official["now"], "request": official["request"],
        "expect": {"accept": true, "reason": "ok", "http_status": 200, "http_body": {}},
    }))
    .unwrap();
    let certificate = official["platform_certificate_pem"].as_str().unwrap();
    let with = format!(
        "mchid = '1'\nappid = '1'\napi_v3_key = '0123456789abcdef0123456789ABCDEF'\ncertificate = {certificate:?}\n"
    );
    let now = OffsetDateTime::from_unix_timestamp(case.now).unwrap();
    let (headers, body) = (case.request.headers(), case.request.body());
    let verdict = verify_raw(&channels(&with), &headers, &body, now);
    assert!(
        verdict.as_ref().map_or_else(CallbackRefusal::is_authentic, |callback| matches!(
            callback,
            Callback::Ignored { .. }
        )),
        "{verdict:?}"
    );
    let other = verify_raw(&channels(&fields(&vectors.config)), &headers, &body, now);
    assert!(matches!(other, Err(CallbackRefusal::UnknownSerial { .. })), "{other:?}");
    let changed = [body.as_slice(), b" "].concat();
    let forged = verify_raw(&channels(&with), &headers, &changed, now);
    assert!(matches!(forged, Err(CallbackRefusal::BadSignature { .. })), "{forged:?}");
}

/// An official plaintext that is no JSON: getting as far as to say so shows that it was opened.
#[test]
fn the_official_ciphertext_opens_under_its_key_alone() {
    let vectors = vectors();
    let official = &vectors.official[1];
    assert_eq!(official["name"], "official_java_aead_256");
    let body = json!({"id": "1", "event_type": "TRANSACTION.SUCCESS", "resource": {
        "algorithm": "AEAD_AES_256_GCM", "ciphertext": official["ciphertext"],
        "associated_data": official["associated_data"], "nonce": official["nonce"],
    }});
    let signer = super::support::signer();
    let sent = channels::wechatpay::sign(body.to_string(), &signer, super::support::NOW).unwrap();
    let verdict = |keys: &str| {
        let certificate = vectors.config.platform_certificates.values().next().unwrap();
        let fields =
            format!("mchid = '1'\nappid = '1'\ncertificate = {certificate:?}\napi_v3_keys = {keys}\n");
        super::support::verify(&channels(&fields), &sent)
    };
    let key = official["apiv3_key"].as_str().unwrap();
    let other = &vectors.config.apiv3_key;
    for keys in [format!("['{key}']"), format!("['{other}', '{key}']")] {
        assert!(matches!(verdict(&keys), Err(CallbackRefusal::Unreadable { .. })), "{:?}", verdict(&keys));
    }
    assert_eq!(verdict(&format!("['{other}']")), Err(CallbackRefusal::DecryptFailed));
}
