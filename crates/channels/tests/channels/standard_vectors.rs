//! The verdicts of the Standard Webhooks vectors, through a channel account.

use std::collections::BTreeMap;

use channels::standard::{Kind, Notice, simulate};
use channels::{Callback, CallbackOutcome, CallbackRequest, ChannelSet};
use events::{Currency, Money, PayOrderNo};
use serde::Deserialize;
use time::OffsetDateTime;
use time::macros::datetime;

const VECTORS: &str = include_str!("../../../webhooks/tests/vectors/standard_webhooks.json");

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    now: i64,
    receiver_secrets: Vec<String>,
    request: Sending,
    expect: Expect,
}

#[derive(Deserialize)]
struct Sending {
    headers: BTreeMap<String, String>,
    body: String,
}

#[derive(Deserialize)]
struct Expect {
    reason: String,
}

fn channels<T: std::fmt::Debug>(secrets: &[T]) -> ChannelSet {
    let text = format!("[gateway_main]\nkind = 'standard'\nsecrets = {secrets:?}");
    ChannelSet::parse(&text, |_| Err(std::io::ErrorKind::NotFound.into()))
        .expect("the configuration is right")
}

/// The bodies of the vectors name the pay order otherwise than ours, so an authentic one gets as far as the parser.
#[test]
fn verdicts_are_those_of_the_vectors() {
    let Vectors { cases } = serde_json::from_str(VECTORS).unwrap();
    assert!(cases.len() >= 14, "the vectors are incomplete");
    for Case { name, now, receiver_secrets, request, expect } in cases {
        let channels = channels(&receiver_secrets);
        let account = channels.account("gateway_main").unwrap();
        let headers: Vec<(&str, &str)> =
            request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let request = CallbackRequest { headers: &headers, body: request.body.as_bytes() };
        let now = OffsetDateTime::from_unix_timestamp(now).unwrap();

        let refusal = account.verify(&request, now).unwrap_err();
        let (code, status) = match expect.reason.as_str() {
            "ok" => ("unreadable", 422),
            reason => (reason, 401),
        };
        assert_eq!(refusal.code(), code, "{name}: {refusal}");
        assert_eq!(account.answer(&CallbackOutcome::Refused(&refusal)).status, status, "{name}");
    }
}

#[test]
fn header_names_are_taken_in_any_case_and_either_key_of_a_rotation_fits() {
    let now = datetime!(2026-01-01 00:00 UTC);
    let secrets = ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"];
    let notice = Notice {
        kind: Kind::PaymentSucceeded,
        pay_order_no: PayOrderNo::parse("P1").unwrap(),
        channel_trade_no: "T1".to_owned(),
        amount: Money::new(1, Currency::parse("JPY").unwrap()),
        at: now,
        refunded_minor: None,
    };
    let channels = channels(&secrets);
    for secret in secrets {
        let sent = simulate(&notice, "evt_1", &secret.parse().unwrap(), now).unwrap();
        let upper = sent.headers().map(|(name, value)| (name.to_ascii_uppercase(), value));
        let headers = upper.each_ref().map(|(name, value)| (name.as_str(), *value));
        let request = CallbackRequest { headers: &headers, body: sent.body.as_bytes() };
        let verdict = channels.account("gateway_main").unwrap().verify(&request, now);
        assert!(matches!(verdict, Ok(Callback::Fact(_))), "{verdict:?}");
    }
}
