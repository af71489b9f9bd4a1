use events::{ChannelAccount, Currency, EventType, FactKind, MerchantId, Money, OrderNo, Purpose, Status};
use proptest::prelude::*;

use super::*;
use crate::facts::arrivals::{AT as NOW, PAID, TOTAL, part, refunded};

mod recharges;
mod refunds;

fn order(pay_order_no: &str) -> PayOrder {
    PayOrder {
        pay_order_no: PayOrderNo::parse(pay_order_no).unwrap(),
        merchant_id: MerchantId::parse("m1").unwrap(),
        order_no: OrderNo::parse("10001").unwrap(),
        purpose: Purpose::Order,
        amount: Money::new(TOTAL, Currency::parse("CNY").unwrap()),
        channel: ChannelAccount::parse("gateway_main").unwrap(),
        status: Status::WaitBuyerPay,
        version: 1,
        refunded_minor: 0,
        channel_trade_no: None,
        paid_at: None,
        subject: None,
        notify_url: None,
        attach: None,
    }
}

fn stated(pay_order_no: &str, kind: FactKind, trade: &str) -> Job {
    let order = order(pay_order_no);
    let fact = Fact {
        kind,
        account: Some(order.channel),
        amount: Some(order.amount),
        channel_trade_no: Some(trade.to_owned()),
        accepted: false,
    };
    Job { pay_order_no: order.pay_order_no, fact, trace: TraceContext::generate(), callback: None }
}

/// No refund was counted, and no trade has paid a recharge.
fn none() -> (Counted, Trades) {
    Default::default()
}

fn known(numbers: &[&str]) -> BTreeMap<PayOrderNo, PayOrder> {
    numbers.iter().map(|number| order(number)).map(|order| (order.pay_order_no.clone(), order)).collect()
}

#[test]
fn success_and_refund_in_one_batch_give_two_events_and_one_row() {
    let folded =
        fold(known(&["P1"]), none(), &[stated("P1", PAID, "T1"), stated("P1", refunded(TOTAL), "T1")], NOW);
    assert_eq!(folded.outcomes, [Outcome::Applied, Outcome::Applied]);
    let told: Vec<_> =
        folded.events.iter().map(|new| (new.event.event_type, new.event.order.version)).collect();
    assert_eq!(told, [(EventType::Success, 2), (EventType::Refunded, 3)]);
    let [row] = &*folded.changed else { panic!("{:?}", folded.changed) };
    assert_eq!((row.status, row.version, row.refunded_minor), (Status::TradeRefunded, 3, TOTAL));
}

#[test]
fn pay_orders_of_one_batch_do_not_touch_each_other() {
    let jobs = [stated("P2", PAID, "T2"), stated("P3", PAID, "T3"), stated("P2", FactKind::Closed, "T2")];
    let folded = fold(known(&["P1", "P2"]), none(), &jobs, NOW);
    let unknown = Outcome::Contradiction(ContradictionReason::UnknownPayOrder);
    assert_eq!(folded.outcomes, [Outcome::Applied, unknown, Outcome::Duplicate]);
    assert_eq!(folded.changed.len(), 1);
    assert_eq!(folded.contradictions[0].ours, None);
}

#[test]
fn a_contradiction_is_noted_once_per_reason_and_trade() {
    let jobs = [
        stated("P1", PAID, "T1"),
        stated("P1", PAID, "T2"),
        stated("P1", PAID, "T2"),
        stated("P1", PAID, "T3"),
        stated("P1", refunded(TOTAL + 1), "T2"),
    ];
    let folded = fold(known(&["P1"]), none(), &jobs, NOW);
    let noted: Vec<_> = folded
        .contradictions
        .iter()
        .map(|noted| (noted.reason.as_str(), noted.theirs.channel_trade_no.as_deref(), noted.count))
        .collect();
    assert_eq!(
        noted,
        [
            ("refund_exceeds_total", Some("T2"), 1),
            ("second_trade", Some("T2"), 2),
            ("second_trade", Some("T3"), 1)
        ]
    );
    assert_eq!(folded.contradictions[1].ours.as_ref().map(|order| order.status), Some(Status::TradeSuccess));
}

#[test]
fn a_contradiction_keeps_what_each_kind_states_and_of_refunds_the_largest() {
    let closed = stated("P1", FactKind::Closed, "T1");
    let jobs = [PAID, refunded(300), refunded(500), refunded(400), PAID].map(|kind| stated("P1", kind, "T1"));
    let folded = fold(known(&["P1"]), none(), &[&[closed], &jobs[..]].concat(), NOW);
    let [noted] = &*folded.contradictions else { panic!("{:?}", folded.contradictions) };
    assert_eq!((noted.reason, noted.count), (ContradictionReason::SuccessAfterClose, 5));
    assert_eq!((&noted.theirs.kind, noted.also.len(), &noted.also[0].kind), (&PAID, 1, &refunded(500)));
}

#[test]
fn a_contradiction_keeps_every_refund_that_is_stated_by_itself() {
    let closed = stated("P1", FactKind::Closed, "T1");
    let parts = [("R1", 300), ("R2", 300), ("R1", 300), ("R1", 500)];
    let jobs = parts.map(|(refund_no, amount_minor)| stated("P1", part(refund_no, amount_minor), "T1"));
    let folded = fold(known(&["P1"]), none(), &[&[closed], &jobs[..]].concat(), NOW);
    let [noted] = &*folded.contradictions else { panic!("{:?}", folded.contradictions) };
    assert_eq!((noted.reason, noted.count), (ContradictionReason::SuccessAfterClose, 4));
    let kept: Vec<_> = once(&noted.theirs).chain(&noted.also).map(|fact| fact.kind.clone()).collect();
    assert_eq!(kept, [part("R1", 300), part("R2", 300), part("R1", 500)]);
}

fn any_kind() -> impl Strategy<Value = FactKind> {
    prop_oneof![
        3 => Just(PAID),
        1 => Just(FactKind::Failed),
        1 => Just(FactKind::Closed),
        3 => (1..=TOTAL + 1).prop_map(refunded),
    ]
}

fn any_job() -> impl Strategy<Value = Job> {
    (
        prop_oneof![Just("P1"), Just("P2"), Just("P3")],
        any_kind(),
        prop_oneof![4 => Just("T1"), 1 => Just("T2")],
    )
        .prop_map(|(number, kind, trade)| stated(number, kind, trade))
}

proptest! {
    /// Whatever comes, in whatever order: consecutive versions, one answer per fact, an event for each transition.
    #[test]
    fn any_facts_give_consecutive_versions_and_one_answer_each(jobs in prop::collection::vec(any_job(), 0..40)) {
        let folded = fold(known(&["P1", "P2"]), none(), &jobs, NOW);
        prop_assert_eq!(folded.outcomes.len(), jobs.len());
        for row in &folded.changed {
            let told: Vec<_> = folded.events.iter().filter(|new| new.event.order.pay_order_no == row.pay_order_no).collect();
            let versions: Vec<_> = told.iter().map(|new| new.event.order.version).collect();
            prop_assert_eq!(&versions, &(2..=row.version).collect::<Vec<_>>());
            prop_assert_eq!(&told[told.len() - 1].event.order, row);
            let successes = told.iter().filter(|new| new.event.event_type == EventType::Success).count();
            prop_assert_eq!(successes, usize::from(row.status.is_paid()));
        }
        let contradicted: i64 = folded.contradictions.iter().map(|noted| noted.count).sum();
        let answered = folded.outcomes.iter().filter(|outcome| outcome.reason().is_some()).count();
        prop_assert_eq!(contradicted, i64::try_from(answered).unwrap());
    }

    /// How the stream is cut into batches makes no difference.
    #[test]
    fn two_batches_are_as_good_as_one(jobs in prop::collection::vec(any_job(), 0..40), cut in 0_usize..40) {
        let whole = fold(known(&["P1", "P2"]), none(), &jobs, NOW);
        let (first, second) = jobs.split_at(cut.min(jobs.len()));
        let mut orders = known(&["P1", "P2"]);
        let one = fold(orders.clone(), none(), first, NOW);
        orders.extend(one.changed.into_iter().map(|order| (order.pay_order_no.clone(), order)));
        let two = fold(orders, none(), second, NOW);
        prop_assert_eq!(whole.outcomes, [one.outcomes, two.outcomes].concat());
        prop_assert_eq!(whole.events.len(), one.events.len() + two.events.len());
    }
}
