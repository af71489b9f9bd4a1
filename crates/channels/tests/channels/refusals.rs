//! Every refusal wakes somebody, but for probes, and so does what cannot be booked: the alerts know its code.

use channels::{CallbackRefusal, unbooked};

const ALERTS: &str = include_str!("../../../../deploy/prometheus/alerts.yml");

/// One of each kind.
fn refusals() -> Vec<CallbackRefusal> {
    let text = || "x".to_owned();
    let other = |code| CallbackRefusal::OtherAccount { code, field: "x", got: text() };
    vec![
        CallbackRefusal::BodyTooLarge,
        CallbackRefusal::ContentEncoding { coding: text() },
        CallbackRefusal::BadSignature { detail: text() },
        CallbackRefusal::MissingHeader { name: "x" },
        CallbackRefusal::MalformedHeader { name: "x", expected: "y" },
        CallbackRefusal::MissingSign,
        CallbackRefusal::NoUsableSignature,
        CallbackRefusal::UnsupportedSignature { kind: text() },
        CallbackRefusal::UnknownSerial { serial: text() },
        CallbackRefusal::Probe,
        CallbackRefusal::TooOld { age_seconds: 301 },
        CallbackRefusal::TooNew { ahead_seconds: 301 },
        CallbackRefusal::Expired { distance_seconds: 300 },
        CallbackRefusal::DecryptFailed,
        CallbackRefusal::UnsupportedAlgorithm { algorithm: text() },
        other("app_id_mismatch"),
        other("appid_mismatch"),
        other("mchid_mismatch"),
        other("seller_id_mismatch"),
        CallbackRefusal::BadAmount { detail: text() },
        CallbackRefusal::Unreadable { detail: text() },
    ]
}

/// What the alert of this name looks for.
fn outcomes(alert: &str) -> Vec<&'static str> {
    let rule = ALERTS.split(&format!("alert: {alert}\n")).nth(1).expect("the alert");
    let outcomes = rule.split("outcome=~\"").nth(1).expect("outcomes").split('"').next().expect("an end");
    outcomes.split('|').collect()
}

#[test]
fn every_code_stands_in_the_alert_for_its_kind() {
    let (refused, unusable) = (outcomes("PayrelayCallbacksRefused"), outcomes("PayrelayCallbacksUnusable"));
    let unread = outcomes("PayrelayCallbacksUnread");
    assert_eq!(unread.len(), 2);
    let mut known = 0;
    for refusal in refusals().into_iter().filter(|refusal| *refusal != CallbackRefusal::Probe) {
        let (right, wrong) =
            if refusal.is_authentic() { (&unusable, &refused) } else { (&refused, &unusable) };
        let code = refusal.code();
        if matches!(refusal, CallbackRefusal::BodyTooLarge | CallbackRefusal::ContentEncoding { .. }) {
            assert!(
                unread.contains(&code) && !refused.contains(&code) && !unusable.contains(&code),
                "{code}"
            );
            continue;
        }
        assert!(right.contains(&refusal.code()) && !wrong.contains(&refusal.code()), "{}", refusal.code());
        known += 1;
    }
    // The ingress's own.
    assert!(refused.contains(&"unknown_account"), "{refused:?}");
    assert_eq!(refused.len() - 1 + unusable.len(), known, "codes that nothing has: {refused:?} {unusable:?}");
}

#[test]
fn whatever_cannot_be_booked_wakes_somebody() {
    let mut alerted = outcomes("PayrelayCallbacksUnbooked");
    alerted.sort_unstable();
    let mut codes = unbooked::ALL;
    codes.sort_unstable();
    assert_eq!(alerted, codes);
}

#[test]
fn the_list_of_codes_is_complete() {
    let codes: Vec<_> = refusals().iter().map(CallbackRefusal::code).collect();
    assert_eq!(codes, CallbackRefusal::CODES);
}
