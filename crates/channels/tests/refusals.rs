//! Every refusal wakes somebody, but for probes, and so does what cannot be booked: the alerts know its code.

use channels::Refusal;
use channels::stripe::{REFUND_FAILED, SUBSCRIPTION_PAID};

const ALERTS: &str = include_str!("../../../deploy/prometheus/alerts.yml");

/// One of each kind.
fn refusals() -> Vec<Refusal> {
    let text = || "x".to_owned();
    let other = |code| Refusal::OtherAccount { code, field: "x", got: text() };
    vec![
        Refusal::BadSignature { detail: text() },
        Refusal::MissingHeader { name: "x" },
        Refusal::MalformedHeader { name: "x" },
        Refusal::MissingSign,
        Refusal::NoUsableSignature,
        Refusal::UnsupportedSignature { kind: text() },
        Refusal::UnknownSerial { serial: text() },
        Refusal::Probe,
        Refusal::TooOld { age_seconds: 301 },
        Refusal::TooNew { ahead_seconds: 301 },
        Refusal::Expired { distance_seconds: 300 },
        Refusal::DecryptFailed,
        Refusal::UnsupportedAlgorithm { algorithm: text() },
        other("app_id_mismatch"),
        other("appid_mismatch"),
        other("mchid_mismatch"),
        other("seller_id_mismatch"),
        Refusal::BadAmount { detail: text() },
        Refusal::Unreadable { detail: text() },
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
    let mut known = 0;
    for refusal in refusals().into_iter().filter(|refusal| *refusal != Refusal::Probe) {
        let (right, wrong) =
            if refusal.is_authentic() { (&unusable, &refused) } else { (&refused, &unusable) };
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
    assert_eq!(alerted, [REFUND_FAILED, SUBSCRIPTION_PAID]);
}
