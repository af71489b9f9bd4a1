//! Every case of the vectors, byte for byte: its verdict and its reason. Their metadata names the pay order in a key of its own, so the account
//! is configured for it.

use channels::{Callback, CallbackRefusal, CallbackRequest, ChannelFact};
use events::FactKind;
use serde::Deserialize;
use time::OffsetDateTime;

use super::channels;
use crate::recorded::Recorded;

const VECTORS: &str = include_str!("../../vectors/stripe.json");
/// Under which the vectors' metadata name the pay order.
const METADATA_KEY: &str = "pay_order_id";

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    now: i64,
    secret: String,
    request: Recorded,
    expect: Expect,
}

#[derive(Deserialize)]
struct Expect {
    valid: bool,
    reason: String,
    normalized: Option<Normalized>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Normalized {
    pay_order_id: String,
    status: String,
    amount_minor: Option<i64>,
    currency: Option<String>,
    exponent: Option<u8>,
    channel_txn: Option<String>,
    dedupe_key: Option<String>,
    amount_refunded_minor: Option<i64>,
    full: Option<bool>,
    terminal: Option<bool>,
}

/// What the expectation tells must be stated, and what it leaves out is not looked at.
fn check(name: &str, verdict: &Callback, expected: &Normalized) {
    let Callback::Fact(ChannelFact { dedupe_id, pay_order_no, fact }) = verdict else {
        assert_eq!((expected.status.as_str(), expected.terminal), ("ATTEMPT_FAILED", Some(false)), "{name}");
        return;
    };
    let amount = fact.amount.expect("Stripe always states it");
    let (status, refunded_minor) = match fact.kind {
        FactKind::Succeeded { .. } => ("SUCCEEDED", None),
        FactKind::Refunded { refunded_minor, .. } => ("REFUND", Some(refunded_minor)),
        ref other => panic!("{name}: {other:?} is not in the vectors"),
    };
    let same =
        |expected: &Option<String>, stated: &str| expected.as_deref().is_none_or(|text| text == stated);
    assert_eq!(
        (pay_order_no.as_str(), status),
        (expected.pay_order_id.as_str(), expected.status.as_str()),
        "{name}"
    );
    assert_eq!(refunded_minor, expected.amount_refunded_minor, "{name}");
    assert_eq!(refunded_minor.map(|refunded| refunded == amount.amount_minor), expected.full, "{name}");
    assert!(expected.amount_minor.is_none_or(|minor| minor == amount.amount_minor), "{name}: {amount}");
    assert!(
        expected.exponent.is_none_or(|exponent| exponent == amount.currency.exponent()),
        "{name}: {amount}"
    );
    assert!(same(&expected.currency, amount.currency.code()), "{name}: {amount}");
    assert!(same(&expected.channel_txn, fact.channel_trade_no.as_deref().unwrap_or_default()), "{name}");
    assert!(same(&expected.dedupe_key, dedupe_id), "{name}: {dedupe_id}");
}

#[test]
fn every_case_has_its_verdict_and_reason() {
    let Vectors { cases } = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(cases.len(), 12, "the vectors are incomplete");
    let mut normalized = 0;
    for Case { name, now, secret, request, expect } in cases {
        let channels = channels(&format!("secret = '{secret}'\nmetadata_key = '{METADATA_KEY}'"));
        let account = channels.account("stripe_main").unwrap();
        let now = OffsetDateTime::from_unix_timestamp(now).unwrap();
        let verdict =
            account.verify(&CallbackRequest { headers: &request.headers(), body: &request.body() }, now);
        let reason = verdict.as_ref().map_or_else(CallbackRefusal::code, |_| "ok");
        assert_eq!(reason, expect.reason, "{name}: {verdict:?}");
        assert_eq!(verdict.is_ok(), expect.valid, "{name}: {verdict:?}");
        if let Some(expected) = expect.normalized {
            check(&name, &verdict.unwrap(), &expected);
            normalized += 1;
        }
    }
    assert_eq!(normalized, 4, "those with a statement about a pay order");
}
