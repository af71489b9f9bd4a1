use proptest::prelude::*;
use time::macros::datetime;

use super::*;
use crate::{ChannelAccount, Currency, MerchantId, Money, OrderNo, PayOrderNo, Purpose};

const TOTAL: i64 = 1_000;

fn order(status: Status) -> PayOrder {
    let paid = status.is_paid();
    PayOrder {
        pay_order_no: PayOrderNo::parse("P1").unwrap(),
        merchant_id: MerchantId::parse("m1").unwrap(),
        order_no: OrderNo::parse("10001").unwrap(),
        purpose: Purpose::Order,
        amount: cny(TOTAL),
        channel: ChannelAccount::parse("main").unwrap(),
        status,
        version: 1,
        refunded_minor: match status {
            Status::PartiallyRefunded => 300,
            Status::TradeRefunded => TOTAL,
            _ => 0,
        },
        channel_trade_no: paid.then(|| "T1".to_owned()),
        paid_at: paid.then_some(datetime!(2026-01-01 00:00 UTC)),
        subject: None,
        notify_url: None,
        attach: None,
    }
}

fn cny(amount_minor: i64) -> Money {
    Money::new(amount_minor, Currency::parse("CNY").unwrap())
}

fn stated(kind: FactKind) -> Fact {
    Fact {
        kind,
        account: Some(ChannelAccount::parse("main").unwrap()),
        amount: Some(cny(TOTAL)),
        channel_trade_no: Some("T1".to_owned()),
        accepted: false,
    }
}

fn accepted(fact: Fact) -> Fact {
    Fact { accepted: true, ..fact }
}

fn success() -> Fact {
    stated(FactKind::Succeeded { paid_at: datetime!(2026-01-01 00:00 UTC) })
}

fn refund_to(refunded_minor: i64) -> Fact {
    stated(FactKind::Refunded { refunded_minor, refunded_at: datetime!(2026-01-02 00:00 UTC) })
}

fn part(amount_minor: i64) -> Fact {
    let refund_no = format!("R-{amount_minor}");
    let refunded_at = datetime!(2026-01-02 00:00 UTC);
    stated(FactKind::PartRefunded { refund_no, amount_minor, refunded_at })
}

/// What a verdict comes to: the statuses and events of its steps, `=` for a duplicate, `!` and the reason else.
fn told(verdict: &Transition) -> String {
    match verdict {
        Transition::Applied(steps) => {
            let steps = steps
                .iter()
                .map(|step| format!("{} {}", step.order.status, step.event.map_or("-", EventType::as_str)));
            steps.collect::<Vec<_>>().join(", ")
        }
        Transition::Duplicate => "=".to_owned(),
        Transition::Contradiction(reason) => format!("!{reason}"),
    }
}

#[test]
fn the_table_of_transitions() {
    use Status::{
        NotCommit, PartiallyRefunded, TradeClosed, TradeFailed, TradeRefunded, TradeSuccess, WaitBuyerPay,
    };
    let paid = "TRADE_SUCCESS pay.success";
    let table = [
        (NotCommit, Fact::own(FactKind::Submitted), "WAIT_BUYER_PAY -"),
        (WaitBuyerPay, Fact::own(FactKind::Submitted), "="),
        (NotCommit, success(), paid),
        (WaitBuyerPay, success(), paid),
        (TradeFailed, success(), paid),
        (TradeSuccess, success(), "="),
        (PartiallyRefunded, success(), "="),
        (TradeRefunded, success(), "="),
        (TradeClosed, success(), "!success_after_close"),
        (WaitBuyerPay, stated(FactKind::Failed), "TRADE_FAILED pay.failed"),
        (TradeFailed, stated(FactKind::Failed), "="),
        (TradeSuccess, stated(FactKind::Failed), "="),
        (TradeClosed, stated(FactKind::Failed), "="),
        (NotCommit, Fact::own(FactKind::Closed), "TRADE_CLOSED pay.closed"),
        (WaitBuyerPay, Fact::own(FactKind::Closed), "TRADE_CLOSED pay.closed"),
        (TradeFailed, Fact::own(FactKind::Closed), "TRADE_CLOSED pay.closed"),
        (TradeClosed, Fact::own(FactKind::Closed), "="),
        (TradeSuccess, Fact::own(FactKind::Closed), "="),
        (TradeSuccess, refund_to(1), "PARTIALLY_REFUNDED pay.refunded"),
        (TradeSuccess, refund_to(TOTAL), "TRADE_REFUNDED pay.refunded"),
        (PartiallyRefunded, refund_to(300), "="),
        (PartiallyRefunded, refund_to(299), "="),
        (PartiallyRefunded, refund_to(301), "PARTIALLY_REFUNDED pay.refunded"),
        (PartiallyRefunded, refund_to(TOTAL), "TRADE_REFUNDED pay.refunded"),
        (TradeRefunded, refund_to(TOTAL), "="),
        (TradeSuccess, refund_to(TOTAL + 1), "!refund_exceeds_total"),
        (WaitBuyerPay, refund_to(300), "TRADE_SUCCESS pay.success, PARTIALLY_REFUNDED pay.refunded"),
        (TradeFailed, refund_to(TOTAL), "TRADE_SUCCESS pay.success, TRADE_REFUNDED pay.refunded"),
        (TradeClosed, refund_to(300), "!success_after_close"),
        (TradeClosed, accepted(success()), paid),
        (TradeClosed, accepted(refund_to(300)), "TRADE_SUCCESS pay.success, PARTIALLY_REFUNDED pay.refunded"),
        (TradeClosed, accepted(refund_to(TOTAL)), "TRADE_SUCCESS pay.success, TRADE_REFUNDED pay.refunded"),
        (TradeClosed, accepted(refund_to(0)), "="),
        (TradeClosed, accepted(refund_to(TOTAL + 1)), "!refund_exceeds_total"),
        (TradeClosed, accepted(stated(FactKind::Failed)), "="),
        (WaitBuyerPay, accepted(success()), paid),
        (TradeSuccess, accepted(success()), "="),
        (PartiallyRefunded, accepted(refund_to(299)), "="),
        (TradeSuccess, part(300), "PARTIALLY_REFUNDED pay.refunded"),
        (TradeSuccess, part(TOTAL), "TRADE_REFUNDED pay.refunded"),
        (PartiallyRefunded, part(699), "PARTIALLY_REFUNDED pay.refunded"),
        (PartiallyRefunded, part(700), "TRADE_REFUNDED pay.refunded"),
        (PartiallyRefunded, part(701), "!refund_exceeds_total"),
        (PartiallyRefunded, part(i64::MAX), "!refund_exceeds_total"),
        (PartiallyRefunded, part(0), "="),
        (PartiallyRefunded, part(-1), "="),
        (TradeRefunded, part(1), "!refund_exceeds_total"),
        (WaitBuyerPay, part(300), "TRADE_SUCCESS pay.success, PARTIALLY_REFUNDED pay.refunded"),
        (TradeClosed, part(300), "!success_after_close"),
        (TradeClosed, accepted(part(TOTAL)), "TRADE_SUCCESS pay.success, TRADE_REFUNDED pay.refunded"),
    ];
    for (status, fact, expected) in table {
        let got = told(&transition(&order(status), &fact));
        assert_eq!(got, expected, "{status} + {:?}", fact.kind);
    }
}

#[test]
fn other_money_is_a_contradiction_whatever_the_status() {
    for status in Status::ALL {
        for mut fact in [success(), part(300), accepted(success())] {
            fact.amount = Some(cny(TOTAL - 1));
            assert_eq!(told(&transition(&order(status), &fact)), "!amount_mismatch");
            fact.amount = None;
            assert_eq!(told(&transition(&order(status), &fact)), "!amount_mismatch");
            fact.amount = Some(Money::new(TOTAL, Currency::parse("USD").unwrap()));
            assert_eq!(told(&transition(&order(status), &fact)), "!currency_mismatch");
            fact.account = Some(ChannelAccount::parse("other").unwrap());
            assert_eq!(told(&transition(&order(status), &fact)), "!account_mismatch");
        }
    }
}

#[test]
fn a_second_trade_is_a_contradiction() {
    for status in [Status::TradeSuccess, Status::PartiallyRefunded, Status::TradeRefunded] {
        for mut fact in
            [success(), refund_to(TOTAL), part(0), accepted(success()), accepted(refund_to(TOTAL))]
        {
            fact.channel_trade_no = Some("T2".to_owned());
            assert_eq!(told(&transition(&order(status), &fact)), "!second_trade");
        }
    }
}

#[test]
fn the_first_success_leaves_its_trade_and_time() {
    let Transition::Applied(steps) = transition(&order(Status::WaitBuyerPay), &success()) else { panic!() };
    let paid = &steps[0].order;
    assert_eq!(paid.channel_trade_no.as_deref(), Some("T1"));
    assert_eq!(paid.paid_at, Some(datetime!(2026-01-01 00:00 UTC)));
    assert_eq!(paid.version, 2);
}

#[test]
fn every_reason_parses_back_and_equals_its_json() {
    for reason in ContradictionReason::ALL {
        assert_eq!(reason.as_str().parse(), Ok(reason));
        assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
    }
    assert!("second_payment".parse::<ContradictionReason>().is_err());
}

fn any_fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        Just(Fact::own(FactKind::Submitted)),
        Just(success()),
        Just(stated(FactKind::Failed)),
        Just(Fact::own(FactKind::Closed)),
        (1..=TOTAL + 10).prop_map(refund_to),
        Just(accepted(success())),
        (1..=TOTAL + 10).prop_map(|refunded_minor| accepted(refund_to(refunded_minor))),
    ]
}

fn apply(order: &mut PayOrder, fact: &Fact) -> Transition {
    let verdict = transition(order, fact);
    if let Transition::Applied(steps) = &verdict {
        *order = steps.last().unwrap().order.clone();
    }
    verdict
}

proptest! {
    #[test]
    fn versions_are_consecutive_and_money_never_goes_back(
        facts in prop::collection::vec(prop_oneof![5 => any_fact(), 2 => (-1..=TOTAL + 10).prop_map(part)], 0..30)
    ) {
        let mut current = order(Status::NotCommit);
        for fact in &facts {
            let before = current.clone();
            let verdict = apply(&mut current, fact);
            if let Transition::Applied(steps) = &verdict {
                for (offset, step) in (1..).zip(steps) {
                    prop_assert_eq!(step.order.version, before.version + offset);
                }
            } else {
                prop_assert_eq!(&current, &before);
            }
            prop_assert!(current.refunded_minor >= before.refunded_minor);
            prop_assert!(current.refunded_minor <= TOTAL);
            prop_assert!(!before.status.is_paid() || current.status.is_paid(), "a payment never vanishes");
            prop_assert_eq!(current.status.is_paid(), current.paid_at.is_some());
            let reopened = before.status == Status::TradeClosed && before != current;
            prop_assert!(!reopened || fact.accepted, "only an operator undoes a close");
        }
    }

    #[test]
    fn a_fact_repeated_has_no_second_effect(facts in prop::collection::vec(any_fact(), 1..20)) {
        let mut current = order(Status::NotCommit);
        for fact in &facts {
            apply(&mut current, fact);
            prop_assert!(!matches!(transition(&current, fact), Transition::Applied(_)));
        }
    }

    #[test]
    fn a_success_and_its_refunds_end_the_same_in_any_order(
        facts in Just(vec![success(), refund_to(100), refund_to(400), refund_to(TOTAL), success(), refund_to(100)])
            .prop_shuffle()
    ) {
        let mut current = order(Status::WaitBuyerPay);
        for fact in &facts {
            apply(&mut current, fact);
        }
        prop_assert_eq!(current.status, Status::TradeRefunded);
        prop_assert_eq!(current.refunded_minor, TOTAL);
    }

    #[test]
    fn a_success_and_its_refunds_by_parts_add_up_in_any_order(
        facts in Just(vec![success(), part(100), part(300), part(250), success()]).prop_shuffle()
    ) {
        let mut current = order(Status::WaitBuyerPay);
        for fact in &facts {
            apply(&mut current, fact);
        }
        prop_assert_eq!((current.status, current.refunded_minor), (Status::PartiallyRefunded, 650));
        prop_assert_eq!(current.version, 5, "one for the success, one for each refund");
    }
}
