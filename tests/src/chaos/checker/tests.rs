//! Made-up histories: every verdict is found.

use time::OffsetDateTime;

use super::*;
use crate::history::{SeenDeadLetter, SeenOrder, SeenWebhook};

const AMOUNT: i64 = 100;

/// A payment with these calls, all acknowledged.
fn payment(facts: &[Fact]) -> Payment {
    let calls = facts.iter().map(|fact| Call { fact: *fact, outcome: Outcome::Acknowledged }).collect();
    Payment {
        source: Source::Channel,
        merchant_id: "m1".to_owned(),
        order_no: "O-1".to_owned(),
        pay_order_no: Some("P-1".to_owned()),
        amount_minor: AMOUNT,
        calls,
        trouble: Vec::new(),
    }
}

fn pay_order(status: &str, refunded_minor: i64) -> SeenPayOrder {
    SeenPayOrder { status: status.to_owned(), refunded_minor }
}

fn order(status: &str, refunded_minor: i64) -> SeenOrder {
    let is_paid = status != "AWAITING_PAYMENT";
    SeenOrder {
        status: status.to_owned(),
        refunded_minor,
        paid_by: is_paid.then(|| "P-1".to_owned()),
        split_minor: if is_paid { vec![33, 67] } else { Vec::new() },
    }
}

fn webhook(event_type: &str, refunded_minor: i64, version: i64) -> SeenWebhook {
    SeenWebhook {
        id: format!("{event_type}-{refunded_minor}"),
        pay_order_no: "P-1".to_owned(),
        event_type: event_type.to_owned(),
        refunded_minor,
        amount_minor: AMOUNT,
        version,
        is_acknowledged: true,
        at: OffsetDateTime::UNIX_EPOCH,
    }
}

/// What is seen of a payment that was made and refunded in part.
fn refunded_in_part() -> (Payment, Seen) {
    let webhooks = vec![webhook("pay.success", 0, 2), webhook("pay.refunded", 25, 3)];
    let seen = Seen {
        order: Some(order("PARTIALLY_REFUNDED", 25)),
        pay_order: Some(pay_order("PARTIALLY_REFUNDED", 25)),
        webhooks,
    };
    (payment(&[Fact::Success, Fact::Refund(25)]), seen)
}

fn judge(payment: &Payment, seen: &Seen) -> Verdict {
    let history = History { payments: vec![payment.clone()], poison: Vec::new() };
    let orders = [(payment.order_no.clone(), seen.clone())].into();
    check(&history, &Evidence { orders, ..Evidence::default() })
}

/// How many are lost, doubled and unexpected.
fn counts(verdict: &Verdict) -> [usize; 3] {
    [&verdict.lost, &verdict.doubled, &verdict.unexpected].map(Vec::len)
}

#[track_caller]
fn assert_counts(payment: &Payment, seen: &Seen, expected: [usize; 3]) {
    let verdict = judge(payment, seen);
    assert_eq!(counts(&verdict), expected, "{verdict:?}");
}

#[test]
fn a_payment_with_its_whole_effect_once_is_good() {
    let (payment, mut seen) = refunded_in_part();
    // The same webhook in another attempt.
    seen.webhooks.insert(0, SeenWebhook { is_acknowledged: false, ..seen.webhooks[0].clone() });
    let verdict = judge(&payment, &seen);
    assert_eq!(counts(&verdict), [0, 0, 0], "{verdict:?}");
    assert_eq!((verdict.acknowledged, verdict.overtakings.len()), (2, 0));
    assert_eq!(missing(&payment, &seen), None);
}

#[test]
fn acknowledged_without_effect_is_lost() {
    let (payment, good) = refunded_in_part();
    let at_pay_order = Seen {
        pay_order: Some(pay_order("TRADE_SUCCESS", 0)),
        order: Some(order("PAID", 0)),
        ..good.clone()
    };
    assert_counts(&payment, &at_pay_order, [1, 0, 0]);
    assert_counts(&payment, &Seen { order: Some(order("AWAITING_PAYMENT", 0)), ..good.clone() }, [1, 0, 0]);
    assert_counts(&payment, &Seen { order: Some(order("PAID", 0)), ..good.clone() }, [1, 0, 0]);
    assert_counts(&payment, &Seen { order: None, ..good.clone() }, [1, 0, 0]);
    let untold = Seen { webhooks: good.webhooks[..1].to_vec(), ..good.clone() };
    assert_counts(&payment, &untold, [1, 0, 0]);
    assert!(missing(&payment, &untold).is_some());
    let mut unacknowledged = good;
    unacknowledged.webhooks[1].is_acknowledged = false;
    assert_counts(&payment, &unacknowledged, [1, 0, 0]);
}

#[test]
fn a_failure_and_a_close_are_lost_as_well() {
    let seen = |status: &str, webhooks| Seen {
        order: Some(order("AWAITING_PAYMENT", 0)),
        pay_order: Some(pay_order(status, 0)),
        webhooks,
    };
    let closed = payment(&[Fact::Close]);
    assert_counts(&closed, &seen("TRADE_CLOSED", vec![webhook("pay.closed", 0, 2)]), [0, 0, 0]);
    assert_counts(&closed, &seen("TRADE_CLOSED", vec![]), [1, 0, 0]);
    assert_counts(&closed, &seen("WAIT_BUYER_PAY", vec![]), [2, 0, 0]);
    let failed = payment(&[Fact::Failure]);
    assert_counts(&failed, &seen("TRADE_FAILED", vec![webhook("pay.failed", 0, 2)]), [0, 0, 0]);
    assert_counts(&failed, &seen("WAIT_BUYER_PAY", vec![]), [2, 0, 0]);
    let (mut late, good) = refunded_in_part();
    late.calls.push(Call { fact: Fact::Failure, outcome: Outcome::Acknowledged });
    assert_counts(&late, &good, [0, 0, 0]);
}

#[test]
fn twice_the_effect_or_other_money_is_doubled() {
    let (payment, good) = refunded_in_part();
    let with_order = |change: &dyn Fn(&mut SeenOrder)| {
        let mut seen = good.clone();
        change(seen.order.as_mut().expect("an order"));
        seen
    };
    assert_counts(&payment, &with_order(&|order| order.refunded_minor = 50), [0, 1, 0]);
    assert_counts(&payment, &with_order(&|order| order.split_minor = vec![33, 67, 33, 67]), [0, 1, 0]);
    assert_counts(&payment, &with_order(&|order| order.split_minor = vec![33, 66]), [0, 1, 0]);
    assert_counts(&payment, &with_order(&|order| order.status = "REFUNDED".to_owned()), [0, 1, 0]);
    let mut twice = good.clone();
    twice.webhooks.push(SeenWebhook { id: "another".to_owned(), ..good.webhooks[0].clone() });
    assert_counts(&payment, &twice, [0, 1, 0]);
    let mut other = good;
    other.webhooks[0].amount_minor = 99;
    assert_counts(&payment, &other, [0, 1, 0]);
}

#[test]
fn what_nobody_asked_for_is_unexpected() {
    let (payment_made, good) = refunded_in_part();
    let mut invented = good.clone();
    invented.webhooks.push(webhook("pay.closed", 0, 4));
    assert_counts(&payment_made, &invented, [0, 0, 1]);
    let mut by_another = good.clone();
    by_another.order.as_mut().expect("an order").paid_by = Some("P-2".to_owned());
    assert_counts(&payment_made, &by_another, [0, 0, 1]);

    assert_counts(&payment(&[Fact::Success]), &good, [0, 0, 1]);
    let unpaid = Seen {
        pay_order: Some(pay_order("WAIT_BUYER_PAY", 0)),
        order: Some(order("PAID", 0)),
        webhooks: vec![],
    };
    assert_counts(&payment(&[]), &unpaid, [0, 0, 1]);
    let refused = Payment { trouble: vec!["refused".to_owned()], ..payment(&[]) };
    assert_counts(&refused, &Seen { order: Some(order("AWAITING_PAYMENT", 0)), ..unpaid }, [0, 0, 1]);

    let orders = [("X".to_owned(), Seen { webhooks: vec![webhook("pay.success", 0, 2)], ..Seen::default() })];
    let evidence = Evidence { orders: orders.into(), forged: vec!["m1".to_owned()], ..Evidence::default() };
    assert_eq!(counts(&check(&History::default(), &evidence)), [0, 0, 2]);
}

#[test]
fn what_callers_never_heard_of_is_recovered_or_unknown_but_whole() {
    let (mut payment, good) = refunded_in_part();
    for call in &mut payment.calls {
        call.outcome = Outcome::Unknown;
    }
    let recovered = judge(&payment, &good);
    assert_eq!(counts(&recovered), [0, 0, 0], "{recovered:?}");
    assert_eq!((recovered.recovered, recovered.unknown, recovered.acknowledged), (2, 0, 0));
    let nothing = Seen {
        order: Some(order("AWAITING_PAYMENT", 0)),
        pay_order: Some(pay_order("WAIT_BUYER_PAY", 0)),
        webhooks: vec![],
    };
    let unknown = judge(&payment, &nothing);
    assert_eq!(counts(&unknown), [0, 0, 0], "{unknown:?}");
    assert_eq!((unknown.recovered, unknown.unknown), (0, 2));
    // Half of it is worse than nothing.
    assert_counts(&payment, &Seen { order: Some(order("AWAITING_PAYMENT", 0)), ..good.clone() }, [1, 0, 0]);
    assert_counts(&payment, &Seen { webhooks: vec![], ..good.clone() }, [2, 0, 0]);
    assert_counts(&payment, &Seen { pay_order: Some(pay_order("WAIT_BUYER_PAY", 0)), ..good }, [0, 0, 1]);
}

#[test]
fn of_a_payment_and_a_close_at_once_one_is_refused() {
    let mut both = payment(&[Fact::Success, Fact::Close]);
    both.calls[1].outcome = Outcome::Refused("409".to_owned());
    let paid = Seen {
        order: Some(order("PAID", 0)),
        pay_order: Some(pay_order("TRADE_SUCCESS", 0)),
        webhooks: vec![webhook("pay.success", 0, 2)],
    };
    assert_counts(&both, &paid, [0, 0, 0]);
    both.calls[1].outcome = Outcome::Acknowledged; // Asked for, then paid within the grace.
    assert_counts(&both, &paid, [0, 0, 0]);
    both.calls[0].outcome = Outcome::Refused("409".to_owned());
    let closed = Seen {
        order: Some(order("AWAITING_PAYMENT", 0)),
        pay_order: Some(pay_order("TRADE_CLOSED", 0)),
        webhooks: vec![webhook("pay.closed", 0, 2)],
    };
    assert_counts(&both, &closed, [0, 0, 0]);
    let mut refused = payment(&[Fact::Success]);
    refused.calls[0].outcome = Outcome::Refused("404".to_owned());
    let verdict = judge(&refused, &paid);
    assert!(!verdict.unexpected.is_empty(), "refused without a reason: {verdict:?}");
}

#[test]
fn events_of_others_pay_orders_that_exist_and_are_told() {
    let mut upstream = Payment { source: Source::Upstream, ..payment(&[Fact::Success]) };
    let good =
        Seen { order: Some(order("PAID", 0)), pay_order: None, webhooks: vec![webhook("pay.success", 0, 1)] };
    assert_counts(&upstream, &good, [0, 0, 0]);
    let unpaid = Seen { order: Some(order("AWAITING_PAYMENT", 0)), ..good.clone() };
    assert_counts(&upstream, &unpaid, [1, 0, 0]);
    upstream.calls[0].outcome = Outcome::Unknown;
    assert_counts(&upstream, &unpaid, [0, 0, 0]);
    let stranger = Payment { source: Source::Stranger, ..payment(&[Fact::Success]) };
    assert_counts(&stranger, &Seen { order: None, ..good.clone() }, [0, 0, 0]);
    assert_counts(&stranger, &good, [0, 0, 1]);
    assert_counts(&stranger, &Seen::default(), [1, 0, 0]);
}

#[test]
fn a_lower_version_after_a_higher_one_is_noticed() {
    let (payment, mut seen) = refunded_in_part();
    seen.webhooks.reverse();
    let verdict = judge(&payment, &seen);
    assert_eq!(verdict.overtakings.len(), 1, "{verdict:?}");
    assert_eq!((verdict.overtakings[0].lower_version, verdict.overtakings[0].higher_version), (2, 3));
    // An attempt that failed tells nothing.
    let (_, mut seen) = refunded_in_part();
    let failed = SeenWebhook { is_acknowledged: false, ..seen.webhooks[0].clone() };
    seen.webhooks = vec![failed, seen.webhooks[1].clone(), seen.webhooks[0].clone()];
    assert_eq!(judge(&payment, &seen).overtakings.len(), 1);
    // A repetition of what was acknowledged already is none.
    let (_, mut seen) = refunded_in_part();
    seen.webhooks.push(seen.webhooks[0].clone());
    assert_eq!(judge(&payment, &seen).overtakings.len(), 0);
}

#[test]
fn dead_letters_are_those_that_were_provoked() {
    let letter = |queue: &str, message_id: &str, reason: &str| SeenDeadLetter {
        queue: queue.to_owned(),
        message_id: message_id.to_owned(),
        reason: reason.to_owned(),
    };
    let poison = |outcome| Poison {
        message_id: "1".to_owned(),
        outcome,
        expected: vec![("a.dlq", "undecodable"), ("b.dlq", "undecodable")],
    };
    let judge = |outcome, dead_letters: &[SeenDeadLetter]| {
        let history = History { payments: Vec::new(), poison: vec![poison(outcome)] };
        check(&history, &Evidence { dead_letters: dead_letters.to_vec(), ..Evidence::default() })
    };
    let [a, b] = ["a.dlq", "b.dlq"].map(|queue| letter(queue, "1", "undecodable"));
    let good = judge(Outcome::Acknowledged, &[a.clone(), b.clone(), b.clone()]);
    assert_eq!((counts(&good), good.acknowledged, good.repeated_dead_letters), ([0, 0, 0], 1, 1));
    assert_eq!(counts(&judge(Outcome::Acknowledged, std::slice::from_ref(&a))), [1, 0, 0]);
    assert_eq!(judge(Outcome::Unknown, std::slice::from_ref(&a)).unknown, 1);
    assert_eq!(judge(Outcome::Unknown, &[a.clone(), b.clone()]).recovered, 1);
    for strange in [letter("a.dlq", "2", "undecodable"), letter("a.dlq", "1", "delivery_limit")] {
        assert_eq!(counts(&judge(Outcome::Acknowledged, &[a.clone(), b.clone(), strange])), [0, 0, 1]);
    }
}
