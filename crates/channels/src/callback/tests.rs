use events::{Currency, FactKind, Money};
use serde_json::{Value, json};
use time::macros::datetime;

use super::*;

#[test]
fn a_problem_has_the_title_of_its_status() {
    for (status, title) in [
        (401, "Unauthorized"),
        (404, "Not Found"),
        (409, "Conflict"),
        (413, "Payload Too Large"),
        (415, "Unsupported Media Type"),
        (422, "Unprocessable Entity"),
        (503, "Service Unavailable"),
    ] {
        let answer = problem(status, "a_code", "in words");
        assert_eq!((answer.status, answer.content_type), (status, Some("application/problem+json")));
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        let expected = json!({ "type": "about:blank", "title": title, "status": status, "code": "a_code", "detail": "in words" });
        assert_eq!(body, expected);
    }
}

#[test]
fn what_states_no_fact_has_an_outcome_and_a_fact_has_none_yet() {
    let dedupe_id = "c1".to_owned();
    let ignored = Callback::Ignored { dedupe_id: dedupe_id.clone(), reason: "other".to_owned() };
    assert_eq!(ignored.outcome(), Some("ignored"));
    let unbooked = Callback::Unbooked {
        dedupe_id: dedupe_id.clone(),
        pay_order_no: None,
        code: "refund_failed",
        reason: "in words".to_owned(),
    };
    assert_eq!(unbooked.outcome(), Some("refund_failed"));
    let fact = Fact {
        kind: FactKind::Succeeded { paid_at: datetime!(2026-01-01 00:00 UTC) },
        account: None,
        amount: Some(Money::new(1999, Currency::parse("CNY").unwrap())),
        channel_trade_no: None,
        accepted: false,
    };
    let pay_order_no = PayOrderNo::parse("P1").unwrap();
    assert_eq!(Callback::Fact(ChannelFact { dedupe_id, pay_order_no, fact }).outcome(), None);
}
