//! What each event states.

use ::events::{ChannelAccount, ContradictionReason, Currency, Fact, FactKind, Money};
use channels::stripe::{Kind, sign, simulate};
use channels::unbooked::{
    CHARGE_WITHOUT_INTENT, DISPUTE, NO_PAYMENT_REQUIRED, REFUND_FAILED, SUBSCRIPTION_PAID, UNKNOWN_EVENT,
};
use channels::{Callback, CallbackOutcome, CallbackRefusal, CallbackRequest, ChannelFact, ChannelSet};
use serde_json::{Value, json};
use time::Duration;

use super::{NOW, NUMBER, OTHER, SECRET, channels, notice, secret, verify};

fn verify_body(body: &Value) -> Result<Callback, CallbackRefusal> {
    let sent = sign(body.to_string(), &secret(), NOW);
    verify(&sent.headers(), sent.body.as_bytes())
}

/// The event of a kind as JSON, to be changed.
fn event(kind: Kind) -> Value {
    let sent = simulate(&notice(kind), "evt_1", &secret(), NOW).expect("it can be stated");
    serde_json::from_str(&sent.body).expect("it is JSON")
}

/// The event with its object changed; `null` takes a field away.
fn with(kind: Kind, changes: &Value) -> Value {
    let mut event = event(kind);
    let object = event["data"]["object"].as_object_mut().expect("it is an object");
    object.extend(changes.as_object().expect("changes are an object").clone());
    object.retain(|_, value| !value.is_null());
    event
}

fn stated(body: &Value) -> ChannelFact {
    match verify_body(body) {
        Ok(Callback::Fact(stated)) => stated,
        other => panic!("expected a fact from {body}, got {other:?}"),
    }
}

/// Why it is ignored.
fn ignored(body: &Value) -> String {
    match verify_body(body) {
        Ok(Callback::Ignored { dedupe_id, reason }) => {
            assert_eq!(dedupe_id, "evt_1");
            reason
        }
        other => panic!("expected {body} to be ignored, got {other:?}"),
    }
}

#[test]
fn each_type_states_what_it_means() {
    let refunded = FactKind::Refunded { refunded_minor: 500, refunded_at: NOW };
    for (kind, expected) in [
        (Kind::PaymentIntentSucceeded, FactKind::Succeeded { paid_at: NOW }),
        (Kind::CheckoutSessionCompleted, FactKind::Succeeded { paid_at: NOW }),
        (Kind::CheckoutSessionAsyncPaymentSucceeded, FactKind::Succeeded { paid_at: NOW }),
        (Kind::CheckoutSessionAsyncPaymentFailed, FactKind::Failed),
        (Kind::ChargeRefunded, refunded),
    ] {
        let ChannelFact { dedupe_id, pay_order_no, fact } = stated(&event(kind));
        assert_eq!((dedupe_id.as_str(), pay_order_no.as_str()), ("evt_1", NUMBER), "{kind:?}");
        let expected = Fact {
            kind: expected,
            account: Some(ChannelAccount::parse("stripe_main").unwrap()),
            amount: Some(notice(kind).amount),
            channel_trade_no: Some("pi_1".to_owned()),
            accepted: false,
        };
        assert_eq!(fact, expected, "{kind:?}");
    }
}

#[test]
fn what_is_no_result_is_acknowledged_and_ignored() {
    assert!(ignored(&event(Kind::PaymentIntentPaymentFailed)).contains("another"));
    let session =
        json!({"payment_status": "unpaid", "amount_total": null, "currency": null, "payment_intent": null});
    assert!(ignored(&with(Kind::CheckoutSessionCompleted, &session)).contains("not paid yet"));
    // An authorisation that is cancelled: nothing had been paid.
    for charge in [json!({"captured": false}), json!({"amount_captured": 0, "captured": true})] {
        assert!(ignored(&with(Kind::ChargeRefunded, &charge)).contains("cancelled"), "{charge}");
    }
    let subscription = json!({"mode": "subscription", "payment_intent": null});
    let failed = with(Kind::CheckoutSessionAsyncPaymentFailed, &subscription);
    assert!(ignored(&failed).contains("subscription"));
    for status in ["pending", "requires_action", "succeeded"] {
        for kind in [Kind::RefundUpdated, Kind::ChargeRefundUpdated] {
            assert!(ignored(&with(kind, &json!({"status": status}))).contains(status), "{kind:?}");
        }
    }
    for (body, part) in [
        (json!({"id": "evt_1", "type": "terminal.reader.action_failed"}), "terminal.reader"),
        (
            of_type("customer.created", &json!({"id": "cus_1", "metadata": {"cart": "7"}})),
            "names no pay order",
        ),
        (
            of_type("radar.early_fraud_warning.created", &json!({"payment_intent": "pi_1"})),
            "names no pay order",
        ),
        (
            of_type("invoice.paid", &json!({"metadata": "none", "client_reference_id": 7})),
            "names no pay order",
        ),
    ] {
        assert!(ignored(&body).contains(part), "{body}: {}", ignored(&body));
    }
}

/// An event of any type about an object.
fn of_type(kind: &str, object: &Value) -> Value {
    json!({"id": "evt_1", "type": kind, "created": 1_767_225_600, "data": {"object": object}})
}

/// Each reason for which an event that names a pay order changes nothing, and is not kept either.
#[test]
fn what_another_event_tells_is_ignored_by_its_true_reason() {
    for (kind, part) in [
        ("payment_intent.created", "no result yet"),
        ("payment_intent.processing", "no result yet"),
        ("payment_intent.requires_action", "no result yet"),
        ("payment_intent.amount_capturable_updated", "no result yet"),
        ("payment_intent.partially_funded", "no result yet"),
        ("payment_intent.canceled", "ended unpaid"),
        ("checkout.session.expired", "ended unpaid"),
        ("charge.failed", "ended unpaid"),
        ("charge.expired", "ended unpaid"),
        ("charge.pending", "no result yet"),
        ("charge.updated", "no result"),
        ("charge.succeeded", "payment_intent.succeeded tells"),
        ("charge.captured", "payment_intent.succeeded tells"),
        ("refund.created", "charge.refunded tells"),
    ] {
        let object = json!({"id": "x_1", "payment_intent": "pi_1", "metadata": {"pay_order_no": "P1"}});
        let reason = ignored(&of_type(kind, &object));
        assert!(reason.contains(part), "{kind}: {reason}");
    }
}

#[test]
fn what_concerns_a_pay_order_and_is_not_booked_is_not_passed_over() {
    let named = json!({"id": "x_1", "status": "open", "metadata": {"pay_order_no": "P1"}});
    let dispute = json!({"id": "dp_1", "charge": "ch_1", "payment_intent": "pi_1", "status": "needs_response", "metadata": {}});
    let reference = json!({"client_reference_id": NUMBER});
    for (kind, object, code, number) in [
        ("charge.dispute.created", &dispute, DISPUTE, None),
        ("charge.dispute.funds_withdrawn", &named, DISPUTE, Some("P1")),
        ("charge.dispute.closed", &json!(null), DISPUTE, None),
        ("charge.succeeded", &named, CHARGE_WITHOUT_INTENT, Some("P1")),
        ("charge.captured", &named, CHARGE_WITHOUT_INTENT, Some("P1")),
        ("invoice.paid", &named, UNKNOWN_EVENT, Some("P1")),
        ("payment_link.updated", &reference, UNKNOWN_EVENT, Some(NUMBER)),
        ("review.opened", &json!({"metadata": {"pay_order_no": "a b"}}), UNKNOWN_EVENT, None),
    ] {
        let (got_number, got, reason) = unbooked(&of_type(kind, object));
        assert_eq!((got_number.as_deref(), got), (number, code), "{kind} {object}");
        assert!(!reason.is_empty() && reason.len() <= 300, "{reason}");
    }
    let (_, _, reason) = unbooked(&of_type("charge.dispute.created", &dispute));
    for part in ["dp_1", "pi_1", "needs_response"] {
        assert!(reason.contains(part), "{reason}");
    }
    // The refund of what was never told as paid.
    let refund = with(Kind::ChargeRefunded, &json!({"payment_intent": null}));
    assert_eq!(unbooked(&refund).1, CHARGE_WITHOUT_INTENT);
}

#[test]
fn a_pay_order_that_nobody_pays_is_not_passed_over() {
    for session in [
        json!({"payment_status": "no_payment_required", "amount_total": 0, "payment_intent": null}),
        json!({"payment_status": "no_payment_required", "amount_total": null, "currency": null, "payment_intent": null}),
        json!({"payment_status": "no_payment_required", "mode": "subscription", "amount_total": 0, "payment_intent": null}),
        // As earlier versions of the interface say it.
        json!({"payment_status": "paid", "amount_total": 0, "payment_intent": null}),
    ] {
        let (number, code, _) = unbooked(&with(Kind::CheckoutSessionCompleted, &session));
        assert_eq!((number.as_deref(), code), (Some(NUMBER), NO_PAYMENT_REQUIRED), "{session}");
    }
    let strange = with(Kind::CheckoutSessionCompleted, &json!({"payment_status": "perhaps"}));
    let refusal = verify_body(&strange).unwrap_err();
    assert!(refusal.to_string().contains("payment_status: expected paid, unpaid"), "{refusal}");
}

/// The pay order, the code and the words of what cannot be booked.
fn unbooked(body: &Value) -> (Option<String>, &'static str, String) {
    match verify_body(body) {
        Ok(Callback::Unbooked { dedupe_id, pay_order_no, code, reason }) => {
            assert_eq!(dedupe_id, "evt_1");
            (pay_order_no.map(|number| number.to_string()), code, reason)
        }
        other => panic!("expected {body} to be unbooked, got {other:?}"),
    }
}

#[test]
fn a_refund_that_fails_afterwards_is_not_passed_over() {
    for (kind, status) in [
        (Kind::RefundFailed, "failed"),
        (Kind::RefundUpdated, "failed"),
        (Kind::RefundUpdated, "canceled"),
        (Kind::ChargeRefundUpdated, "failed"),
        (Kind::ChargeRefundUpdated, "canceled"),
    ] {
        let refund = json!({"status": status, "failure_reason": "expired_or_canceled_card"});
        let (number, code, reason) = unbooked(&with(kind, &refund));
        assert_eq!((number, code), (None, REFUND_FAILED), "{kind:?}");
        for part in ["re_1", "pi_1", status, "expired_or_canceled_card"] {
            assert!(reason.contains(part), "{kind:?}: {reason}");
        }
    }
    // Whatever else is missing.
    let bare = json!({"status": null, "payment_intent": null, "metadata": null});
    assert_eq!(unbooked(&with(Kind::RefundFailed, &bare)).1, REFUND_FAILED);
    let named = json!({"metadata": {"pay_order_no": "P2"}});
    assert_eq!(unbooked(&with(Kind::RefundFailed, &named)).0.as_deref(), Some("P2"));
    let misnamed = json!({"metadata": {"pay_order_no": "a b"}});
    assert_eq!(unbooked(&with(Kind::RefundFailed, &misnamed)).0, None);
}

#[test]
fn a_subscription_paid_under_the_number_of_a_pay_order_is_not_passed_over() {
    let subscription = json!({"mode": "subscription", "payment_intent": null});
    for kind in [Kind::CheckoutSessionCompleted, Kind::CheckoutSessionAsyncPaymentSucceeded] {
        let (number, code, _) = unbooked(&with(kind, &subscription));
        assert_eq!((number.as_deref(), code), (Some(NUMBER), SUBSCRIPTION_PAID), "{kind:?}");
    }
    // A payment states a success, so that the trade must be named.
    let payment = json!({"mode": "payment", "payment_intent": null});
    let refusal = verify_body(&with(Kind::CheckoutSessionCompleted, &payment)).unwrap_err();
    assert_eq!(refusal.code(), "unreadable", "{refusal}");
}

#[test]
fn a_reference_that_payrelay_does_not_make_names_no_pay_order() {
    let kind = Kind::CheckoutSessionCompleted;
    for theirs in ["user 42", "42", "P1", "", "cart_P019B76DAA800", "p019b76daa80000080000000000000ab"] {
        let reason = ignored(&with(kind, &json!({"client_reference_id": theirs})));
        assert!(reason.contains("names no pay order"), "{theirs}: {reason}");
    }
    let generated = ::events::PayOrderNo::new(time::macros::datetime!(2026-01-01 00:00 UTC), [0xAB; 10]);
    for ours in [generated.as_str(), "P202601010004"] {
        assert_eq!(stated(&with(kind, &json!({"client_reference_id": ours}))).pay_order_no.as_str(), ours);
    }
}

#[test]
fn the_number_is_in_the_metadata_or_is_the_reference() {
    let kind = Kind::PaymentIntentSucceeded;
    let number = |changes: &Value| stated(&with(kind, changes)).pay_order_no.to_string();
    assert_eq!(number(&json!({"metadata": {"pay_order_no": "P2", "more": "x"}})), "P2");
    assert_eq!(number(&json!({"metadata": {}, "client_reference_id": NUMBER})), NUMBER);
    assert_eq!(number(&json!({"metadata": null, "client_reference_id": NUMBER})), NUMBER);
    assert_eq!(number(&json!({"metadata": {"pay_order_no": "P2"}, "client_reference_id": NUMBER})), "P2");
    // Payments of others, which share the account at Stripe.
    for kind in [kind, Kind::CheckoutSessionCompleted, Kind::ChargeRefunded] {
        let theirs = with(kind, &json!({"metadata": {"cart": "7"}, "client_reference_id": null}));
        assert!(ignored(&theirs).contains("metadata.pay_order_no"), "{kind:?}");
    }

    let configured = channels(&format!("secret = '{SECRET}'\nmetadata_key = 'order'"));
    let sent = sign(with(kind, &json!({"metadata": {"order": "P4"}})).to_string(), &secret(), NOW);
    let request = CallbackRequest { headers: &sent.headers(), body: sent.body.as_bytes() };
    let verdict = configured.account("stripe_main").unwrap().verify(&request, NOW);
    assert!(
        matches!(&verdict, Ok(Callback::Fact(stated)) if stated.pay_order_no.as_str() == "P4"),
        "{verdict:?}"
    );
}

#[test]
fn what_was_received_is_what_counts() {
    let amount = |kind, changes: &Value| stated(&with(kind, changes)).fact.amount.unwrap().amount_minor;
    assert_eq!(amount(Kind::PaymentIntentSucceeded, &json!({"amount": 1999, "amount_received": 1000})), 1000);
    assert_eq!(amount(Kind::ChargeRefunded, &json!({"amount": 1999, "amount_captured": 1000})), 1000);
    assert_eq!(amount(Kind::ChargeRefunded, &json!({"amount": 1999, "amount_captured": null})), 1999);
}

#[test]
fn amounts_are_in_units_of_stripe() {
    let kind = Kind::PaymentIntentSucceeded;
    for (currency, received, minor) in [
        ("jpy", 500, 500),
        ("mga", 500, 50_000),
        ("isk", 50_000, 500),
        ("ugx", 50_000, 500),
        ("kwd", 5120, 5120),
    ] {
        let stated = stated(&with(kind, &json!({"currency": currency, "amount_received": received})));
        let expected = Money::new(minor, Currency::parse(&currency.to_ascii_uppercase()).unwrap());
        assert_eq!(stated.fact.amount, Some(expected));
    }
    for (currency, received) in [("isk", 50_001), ("ugx", 99), ("kwd", 5124), ("usd", -1), ("mga", i64::MAX)]
    {
        let refusal = verify_body(&with(kind, &json!({"currency": currency, "amount_received": received})))
            .unwrap_err();
        assert_eq!(refusal.code(), "bad_amount_format", "{currency}: {refusal}");
        assert!(refusal.to_string().contains("amount_received"), "{refusal}");
    }
    let refund =
        json!({"currency": "isk", "amount": 50_000, "amount_captured": 50_000, "amount_refunded": 150});
    assert_eq!(verify_body(&with(Kind::ChargeRefunded, &refund)).unwrap_err().code(), "bad_amount_format");
}

#[test]
fn a_wrong_field_is_named() {
    for (kind, changes, part) in [
        (Kind::PaymentIntentSucceeded, json!({"metadata": {"pay_order_no": "a b"}}), "pay_order_no"),
        (Kind::PaymentIntentSucceeded, json!({"id": null}), "id"),
        (Kind::PaymentIntentSucceeded, json!({"id": ""}), "payment_intent"),
        (Kind::PaymentIntentSucceeded, json!({"amount_received": null}), "amount_received"),
        (Kind::PaymentIntentSucceeded, json!({"amount_received": 19.99}), "a whole number"),
        (Kind::PaymentIntentSucceeded, json!({"currency": "xyz"}), "currency"),
        (Kind::CheckoutSessionCompleted, json!({"payment_status": null}), "payment_status"),
        (Kind::CheckoutSessionCompleted, json!({"payment_intent": null}), "payment_intent"),
        (Kind::CheckoutSessionCompleted, json!({"amount_total": null}), "amount_total"),
        (Kind::RefundFailed, json!({"id": null}), "id"),
        (Kind::ChargeRefunded, json!({"amount_refunded": null}), "amount_refunded"),
    ] {
        let refusal = verify_body(&with(kind, &changes)).unwrap_err();
        assert_eq!(refusal.code(), "unreadable", "{changes}: {refusal}");
        assert!(refusal.to_string().contains(part), "{changes}: {refusal}");
    }
    for (field, value) in
        [("id", json!("a b")), ("created", json!(-1)), ("created", json!(i64::MAX)), ("data", json!(1))]
    {
        let mut event = event(Kind::PaymentIntentSucceeded);
        event[field] = value;
        assert_eq!(verify_body(&event).unwrap_err().code(), "unreadable", "{event}");
    }
    for body in ["", "null", "[]", "{}", "{\"id\":1}"] {
        let sent = sign(body.to_owned(), &secret(), NOW);
        assert_eq!(verify(&sent.headers(), body.as_bytes()).unwrap_err().code(), "unreadable", "{body}");
    }
}

#[test]
fn the_header_is_a_list_with_one_time() {
    let sent = simulate(&notice(Kind::PaymentIntentSucceeded), "evt_1", &secret(), NOW).unwrap();
    let (time, v1) = sent.signature.split_once(',').unwrap();
    let digits = v1.strip_prefix("v1=").unwrap();
    let others = |count: usize| format!("{time},{}{v1}", "v1=00,".repeat(count));
    let code = |header: &str| {
        let verdict = verify(&[("Stripe-Signature", header)], sent.body.as_bytes());
        verdict.map_or_else(|refusal| refusal.code(), |_| "ok")
    };
    for (header, expected) in [
        (sent.signature.clone(), "ok"),
        (format!("{v1},{time}"), "ok"),
        (format!("{time},v0={digits},v1=00,{v1}"), "ok"),
        (others(15), "ok"),
        (others(16), "malformed_header"),
        (format!("{time},v0={digits}"), "no_v1_signature"),
        (format!("{time},v1={}", digits.to_ascii_uppercase()), "bad_signature"),
        (format!("{time},v1={}", &digits[..62]), "bad_signature"),
        (format!("{time},v1="), "bad_signature"),
        (format!("{time},{time},{v1}"), "malformed_header"),
        (format!("t=1767225599,{v1}"), "bad_signature"),
        (format!("t=+1767225600,{v1}"), "malformed_header"),
        (format!("t=,{v1}"), "malformed_header"),
        (format!("t=99999999999999999999,{v1}"), "malformed_header"),
        (format!("{time},{v1},"), "ok"),
        (v1.to_owned(), "malformed_header"),
        (String::new(), "malformed_header"),
    ] {
        assert_eq!(code(&header), expected, "{header}");
    }
    assert_eq!(
        verify(&[], sent.body.as_bytes()),
        Err(CallbackRefusal::MissingHeader { name: "stripe-signature" })
    );
}

#[test]
fn the_clocks_may_differ_by_five_minutes_both_ways() {
    let channels = channels(&format!("secret = '{SECRET}'"));
    let account = channels.account("stripe_main").unwrap();
    for (seconds, expected) in [
        (0, None),
        (300, None),
        (-300, None),
        (301, Some(CallbackRefusal::TooOld { age_seconds: 301 })),
        (-301, Some(CallbackRefusal::TooNew { ahead_seconds: 301 })),
    ] {
        let sent = simulate(&notice(Kind::PaymentIntentSucceeded), "evt_1", &secret(), NOW).unwrap();
        let request = CallbackRequest { headers: &sent.headers(), body: sent.body.as_bytes() };
        assert_eq!(account.verify(&request, NOW + Duration::seconds(seconds)).err(), expected, "{seconds}");
    }
}

#[test]
fn any_secret_of_a_rotation_fits_and_others_do_not() {
    let sent = simulate(&notice(Kind::PaymentIntentSucceeded), "evt_1", &secret(), NOW).unwrap();
    let request = CallbackRequest { headers: &sent.headers(), body: sent.body.as_bytes() };
    for (secrets, expected) in
        [(vec![OTHER, SECRET], true), (vec![SECRET, OTHER], true), (vec![OTHER], false)]
    {
        let channels = channels(&format!("secrets = {secrets:?}"));
        let verdict = channels.account("stripe_main").unwrap().verify(&request, NOW);
        assert_eq!(verdict.is_ok(), expected, "{verdict:?}");
    }
}

#[test]
fn the_channels_file_names_what_is_wrong_and_tells_no_secret() {
    let errors = |more: &str| {
        let text = format!("[a]\nkind = 'stripe'\n{more}\n");
        ChannelSet::parse(&text, |_| Err(std::io::ErrorKind::NotFound.into())).unwrap_err().to_string()
    };
    for wrong in ["whsec_", "whsec_short", "sk_live_0123456789", "whsec_with a space"] {
        let errors = errors(&format!("secret = '{wrong}'"));
        assert!(errors.starts_with("[a] secret: expected an endpoint's signing secret"), "{errors}");
        assert!(!errors.contains("0123456789") && !errors.contains("short"), "{errors}");
    }
    assert!(errors("").contains("[a] secret: missing"));
    assert!(
        errors(&format!("secret = '{SECRET}'\nmetadata_key = 1"))
            .contains("metadata_key: expected a text, got integer")
    );
    let unknown = errors(&format!("secret = '{SECRET}'\nmetadatakey = 'x'"));
    assert!(
        unknown.contains("expected one of kind, secret") && unknown.contains("metadata_key"),
        "{unknown}"
    );
    assert!(!format!("{:?}", channels(&format!("secret = '{SECRET}'"))).contains("test_secret"));
}

#[test]
fn every_outcome_has_its_answer() {
    let channels = channels(&format!("secret = '{SECRET}'"));
    let account = channels.account("stripe_main").unwrap();
    for outcome in [CallbackOutcome::Accepted, CallbackOutcome::Duplicate, CallbackOutcome::Ignored] {
        let answer = account.answer(&outcome);
        assert_eq!((answer.status, answer.body.as_str()), (200, "{\"received\":true}"));
    }
    let forged = CallbackRefusal::MissingHeader { name: "stripe-signature" };
    let strange = CallbackRefusal::BadAmount { detail: "…".to_owned() };
    for (outcome, status, code) in [
        (CallbackOutcome::Refused(&forged), 401, "missing_header"),
        (CallbackOutcome::Refused(&strange), 422, "bad_amount_format"),
        (CallbackOutcome::Contradiction(ContradictionReason::AmountMismatch), 409, "contradiction"),
        (CallbackOutcome::UnknownPayOrder, 404, "unknown_pay_order"),
        (CallbackOutcome::NotPersisted, 503, "not_persisted"),
    ] {
        let answer = account.answer(&outcome);
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((answer.status, &problem["code"]), (status, &json!(code)), "{outcome:?}");
    }
}
