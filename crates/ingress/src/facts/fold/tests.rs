use std::iter::once;

use events::{ChannelAccount, Currency, EventType, FactKind, Money, Purpose, Status};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::facts::arrivals::{AT as NOW, PAID, TOTAL, part, refunded};
use crate::fixtures::pay_order;
use crate::trace_context::TraceContext;

mod recharges;
mod refunds;

fn order(pay_order_no: &str) -> PayOrder {
    PayOrder {
        purpose: Purpose::Order,
        amount: Money::new(TOTAL, Currency::parse("CNY").unwrap()),
        ..pay_order(PayOrderNo::parse(pay_order_no).unwrap())
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

/// The ids of events, in the order in which they are made.
fn id(number: usize) -> EventId {
    EventId(Uuid::from_u128(number.try_into().unwrap()))
}

/// Folds at `NOW`, the ids counted from 1.
fn fold(
    orders: BTreeMap<PayOrderNo, PayOrder>,
    (counted, trades): (Counted, Trades),
    jobs: &[Job],
) -> Folded {
    let mut ids = (1..).map(id);
    super::fold(orders, Prior { counted, trades }, jobs, NOW, || ids.next().unwrap())
}

/// No refund was counted, and no trade has paid a recharge.
fn none() -> (Counted, Trades) {
    Default::default()
}

fn known(numbers: &[&str]) -> BTreeMap<PayOrderNo, PayOrder> {
    by_number(numbers.iter().map(|number| order(number))).collect()
}

fn by_number(orders: impl IntoIterator<Item = PayOrder>) -> impl Iterator<Item = (PayOrderNo, PayOrder)> {
    orders.into_iter().map(|order| (order.pay_order_no.clone(), order))
}

#[test]
fn success_and_refund_in_one_batch_give_two_events_and_one_row() {
    let jobs = [stated("P1", PAID, "T1"), stated("P1", refunded(TOTAL), "T1")];
    let paid = PayOrder {
        status: Status::TradeSuccess,
        version: 2,
        channel_trade_no: Some("T1".to_owned()),
        paid_at: Some(NOW),
        ..order("P1")
    };
    let returned =
        PayOrder { status: Status::TradeRefunded, version: 3, refunded_minor: TOTAL, ..paid.clone() };
    let told = |number, event_type, order: &PayOrder, job: &Job| NewEvent {
        event: PayEvent { event_id: id(number), event_type, order: order.clone(), occurred_at: NOW },
        trace: job.trace.clone(),
    };
    let expected = Folded {
        outcomes: vec![FactOutcome::Applied, FactOutcome::Applied],
        events: vec![
            told(1, EventType::Success, &paid, &jobs[0]),
            told(2, EventType::Refunded, &returned, &jobs[1]),
        ],
        changed: vec![returned],
        contradictions: vec![],
        refunds: vec![],
    };
    assert_eq!(fold(known(&["P1"]), none(), &jobs), expected);
}

#[test]
fn pay_orders_of_one_batch_do_not_touch_each_other() {
    let jobs = [stated("P2", PAID, "T2"), stated("P3", PAID, "T3"), stated("P2", FactKind::Closed, "T2")];
    let folded = fold(known(&["P1", "P2"]), none(), &jobs);
    let unknown = FactOutcome::Contradiction(ContradictionReason::UnknownPayOrder);
    assert_eq!(folded.outcomes, [FactOutcome::Applied, unknown, FactOutcome::Duplicate]);
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
    let folded = fold(known(&["P1"]), none(), &jobs);
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
    let folded = fold(known(&["P1"]), none(), &[&[closed], &jobs[..]].concat());
    let [noted] = &*folded.contradictions else { panic!("{:?}", folded.contradictions) };
    assert_eq!((noted.reason, noted.count), (ContradictionReason::SuccessAfterClose, 5));
    assert_eq!((&noted.theirs.kind, noted.also.len(), &noted.also[0].kind), (&PAID, 1, &refunded(500)));
}

#[test]
fn a_contradiction_keeps_every_refund_that_is_stated_by_itself() {
    let closed = stated("P1", FactKind::Closed, "T1");
    let parts = [("R1", 300), ("R2", 300), ("R1", 300), ("R1", 500)];
    let jobs = parts.map(|(refund_no, amount_minor)| stated("P1", part(refund_no, amount_minor), "T1"));
    let folded = fold(known(&["P1"]), none(), &[&[closed], &jobs[..]].concat());
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
        let folded = fold(known(&["P1", "P2"]), none(), &jobs);
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
        let whole = fold(known(&["P1", "P2"]), none(), &jobs);
        let (first, second) = jobs.split_at(cut.min(jobs.len()));
        let mut orders = known(&["P1", "P2"]);
        let one = fold(orders.clone(), none(), first);
        orders.extend(by_number(one.changed));
        let mut ids = (one.events.len() + 1..).map(id);
        let two = super::fold(orders.clone(), Prior::default(), second, NOW, || ids.next().unwrap());
        prop_assert_eq!(whole.outcomes, [one.outcomes, two.outcomes].concat());
        prop_assert_eq!(whole.events, [one.events, two.events].concat());
        orders.extend(by_number(two.changed));
        for order in whole.changed {
            prop_assert_eq!(orders.get(&order.pay_order_no), Some(&order));
        }
    }
}
