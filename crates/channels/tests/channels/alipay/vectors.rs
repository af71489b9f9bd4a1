//! Every case of the vectors: its verdict, its reason, its answer.

use std::collections::BTreeMap;

use channels::{Account, Callback, CallbackOutcome, CallbackRequest, ChannelAnswer, ChannelFact};
use events::{
    ChannelAccount, ContradictionReason, FactKind, MerchantId, Money, OrderNo, PayOrder, Purpose, Status,
    Transition, transition,
};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Config, NOW, VECTORS, channels};
use crate::recorded::Recorded;

#[derive(Deserialize)]
struct Vectors {
    config: ConfigWithOrders,
    official: Vec<Official>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct ConfigWithOrders {
    #[serde(flatten)]
    account: Config,
    orders: BTreeMap<String, Money>,
}

#[derive(Deserialize)]
struct Official {
    name: String,
    alipay_public_key_spki_base64: String,
    request: Recorded,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    request: Recorded,
    expect: Expect,
}

#[derive(Deserialize)]
struct Expect {
    signature_valid: bool,
    accept: bool,
    reason: String,
    http_status: u16,
    http_body: String,
    normalized: Option<Normalized>,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Normalized {
    status: String,
    pay_order_id: Option<String>,
    channel_txn: Option<String>,
    amount_minor: Option<i64>,
    currency: Option<String>,
    success_time: Option<String>,
    dedupe_key: Option<String>,
}

/// What became of a callback, in the words of the vectors.
struct Judged {
    reason: String,
    authentic: bool,
    answer: ChannelAnswer,
    stated: Option<ChannelFact>,
}

fn vectors() -> Vectors {
    serde_json::from_str(VECTORS).expect("the vectors are JSON")
}

/// The pay orders of the vectors, which all wait for the buyer.
fn orders(amounts: BTreeMap<String, Money>) -> BTreeMap<String, PayOrder> {
    let order = |(number, amount): (String, Money)| {
        let order = PayOrder {
            pay_order_no: number.parse().expect("it is a number"),
            merchant_id: MerchantId::parse("m1").expect("it is an id"),
            order_no: OrderNo::parse("10001").expect("it is a number"),
            purpose: Purpose::Order,
            amount,
            channel: ChannelAccount::parse("alipay_main").expect("it is a name"),
            status: Status::WaitBuyerPay,
            version: 1,
            refunded_minor: 0,
            channel_trade_no: None,
            paid_at: None,
            subject: None,
            notify_url: None,
            attach: None,
        };
        (number, order)
    };
    amounts.into_iter().map(order).collect()
}

/// Verifies, and changes the order as the ingress does.
fn judge(account: &Account, sent: &Recorded, orders: &mut BTreeMap<String, PayOrder>) -> Judged {
    let judged = |outcome: &CallbackOutcome<'_>, reason: &str, stated| Judged {
        reason: reason.to_owned(),
        authentic: !matches!(outcome, CallbackOutcome::Refused(refusal) if !refusal.is_authentic()),
        answer: account.answer(outcome),
        stated,
    };
    let stated = match account.verify(&CallbackRequest { headers: &sent.headers(), body: &sent.body() }, NOW)
    {
        Err(refusal) => return judged(&CallbackOutcome::Refused(&refusal), refusal.code(), None),
        Ok(Callback::Ignored { .. }) => return judged(&CallbackOutcome::Ignored, "no_transition", None),
        Ok(Callback::Unbooked { code, .. }) => panic!("{code} is not in the vectors"),
        Ok(Callback::Fact(stated)) => stated,
    };
    let Some(order) = orders.get_mut(stated.pay_order_no.as_str()) else {
        return judged(&CallbackOutcome::UnknownPayOrder, "order_not_found", Some(stated));
    };
    match transition(order, &stated.fact) {
        Transition::Applied(steps) => {
            order.clone_from(&steps.last().expect("there is a step").order);
            judged(&CallbackOutcome::Accepted, "ok", Some(stated))
        }
        Transition::Duplicate => judged(&CallbackOutcome::Duplicate, "duplicate", Some(stated)),
        Transition::Contradiction(reason) => {
            assert_eq!(reason, ContradictionReason::AmountMismatch, "no other is in the vectors");
            judged(&CallbackOutcome::Contradiction(reason), reason.as_str(), Some(stated))
        }
    }
}

/// What is stated, with as much of it as the expectation tells.
fn normalized(stated: Option<&ChannelFact>, expected: &Normalized) -> Normalized {
    let Some(ChannelFact { dedupe_id, pay_order_no, fact }) = stated else {
        return Normalized {
            status: "PENDING".to_owned(),
            pay_order_id: None,
            channel_txn: None,
            amount_minor: None,
            currency: None,
            success_time: None,
            dedupe_key: None,
        };
    };
    let (status, at) = match fact.kind {
        FactKind::Succeeded { paid_at } => ("SUCCEEDED", Some(paid_at)),
        FactKind::Closed => ("CLOSED", None),
        ref other => panic!("{other:?} is not in the vectors"),
    };
    let amount = fact.amount.expect("Alipay always states it");
    let zone = expected
        .success_time
        .as_deref()
        .map(|text| OffsetDateTime::parse(text, &Rfc3339).expect("it is RFC 3339").offset());
    Normalized {
        status: status.to_owned(),
        pay_order_id: expected.pay_order_id.as_ref().map(|_| pay_order_no.to_string()),
        channel_txn: expected.channel_txn.as_ref().and(fact.channel_trade_no.clone()),
        amount_minor: expected.amount_minor.map(|_| amount.amount_minor),
        currency: expected.currency.as_ref().map(|_| amount.currency.to_string()),
        success_time: zone
            .zip(at)
            .map(|(zone, at)| at.to_offset(zone).format(&Rfc3339).expect("it can be written")),
        dedupe_key: expected.dedupe_key.as_ref().map(|_| dedupe_id.clone()),
    }
}

#[test]
fn every_case_has_its_verdict_reason_and_answer() {
    let Vectors { config: ConfigWithOrders { account: config, orders: amounts }, cases, .. } = vectors();
    assert_eq!(cases.len(), 13, "the vectors are incomplete");
    let channels = channels(&config.app_id, &config.seller_id, &[&config.alipay_public_key_pem]);
    let account = channels.account("alipay_main").unwrap();
    let first = cases.iter().find(|case| case.name == "valid_trade_success").expect("it is there");
    for Case { name, request, expect } in &cases {
        let mut orders = orders(amounts.clone());
        if expect.reason == "duplicate" {
            assert_eq!(judge(account, &first.request, &mut orders).reason, "ok", "{name}");
        }
        let before = orders.clone();
        let judged = judge(account, request, &mut orders);
        assert_eq!(judged.reason, expect.reason, "{name}");
        assert_eq!(judged.authentic, expect.signature_valid, "{name}");
        let answer = (judged.answer.status, judged.answer.body.as_str(), judged.answer.content_type);
        assert_eq!(answer, (expect.http_status, expect.http_body.as_str(), Some("text/plain")), "{name}");
        assert_eq!(expect.accept, judged.answer.body == "success", "{name}");
        assert_eq!(
            orders != before,
            expect.reason == "ok",
            "{name}: only what is new and good changes an order"
        );
        if let Some(expected) = &expect.normalized {
            assert_eq!(normalized(judged.stated.as_ref(), expected), *expected, "{name}");
        }
    }
}

/// Two messages that Alipay itself has signed; the second is of its gateway for applications, where `sign_type` is signed, too.
#[test]
fn the_official_notice_is_taken_and_the_message_of_another_kind_is_not() {
    let official = vectors().official;
    assert_eq!(official.len(), 2, "the vectors are incomplete");
    for Official { name, alipay_public_key_spki_base64: key, request } in official {
        let channels = channels("2019073166072302", "2088531891668739", &[&key]);
        let account = channels.account("alipay_main").unwrap();
        let judged = judge(account, &request, &mut BTreeMap::new());
        if name == "official_trade_status_sync" {
            assert_eq!(judged.reason, "order_not_found", "{name}");
            let stated = judged.stated.unwrap();
            assert_eq!(stated.pay_order_no.as_str(), "20190815155618536-564-57");
            assert_eq!(stated.fact.amount.unwrap().amount_minor, 10);
        } else {
            assert_eq!(judged.reason, "bad_signature", "{name}");
        }
    }
}
