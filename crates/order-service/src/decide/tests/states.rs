//! The picture of the order in `ARCHITECTURE.md` is what [`decide`] and the statement that closes an order do.

use std::collections::BTreeSet;

use devstack::testing::pictures::{Arrow, START, arrows};
use events::PayOrderNo;

use super::super::*;
use super::{AMOUNT_MINOR, PAID_AT, awaiting, bare, refund, success};

const PART_MINOR: i64 = 400;
const STATUSES: [OrderStatus; 5] = [
    OrderStatus::AwaitingPayment,
    OrderStatus::Paid,
    OrderStatus::PartiallyRefunded,
    OrderStatus::Refunded,
    OrderStatus::Closed,
];

#[test]
fn the_picture_of_the_order_is_what_decide_does() {
    let mut expected = BTreeSet::from([Arrow::new(START, "AWAITING_PAYMENT", "created"), close()]);
    for status in STATUSES {
        let before = order(status);
        for message in messages() {
            let Decision::Applied(after) = decide(&before, &message) else { continue };
            if (after.status, after.refunded_minor) != (before.status, before.refunded_minor) {
                let cause = message_type(&message).as_str();
                expected.insert(Arrow::new(before.status.as_str(), after.status.as_str(), cause));
            }
        }
    }
    assert_eq!(arrows("### Order"), expected);
}

/// What the one other statement that writes a status does.
fn close() -> Arrow {
    let statements = include_str!("../../store/orders.rs");
    let (_, statement) = statements.split_once("SET status = '").expect("a statement that closes");
    let (to, rest) = statement.split_once('\'').expect("a status");
    let (_, condition) = rest.split_once("AND status = '").expect("a condition");
    let (from, _) = condition.split_once('\'').expect("a status");
    Arrow::new(from, to, "close request")
}

fn messages() -> Vec<Incoming> {
    let types = [EventType::Success, EventType::Failed, EventType::Closed, EventType::Refunded];
    let refunds = [PART_MINOR, AMOUNT_MINOR - PART_MINOR, AMOUNT_MINOR].map(refund);
    let failures =
        [EventType::Failed, EventType::Closed].map(|kind| super::full(super::event(kind, "P1", 0)));
    types.map(bare).into_iter().chain(refunds).chain(failures).chain([success()]).collect()
}

fn message_type(message: &Incoming) -> EventType {
    match message {
        Incoming::Event(event) => event.event_type,
        Incoming::Bare(bare) => bare.event_type,
    }
}

fn order(status: OrderStatus) -> OrderState {
    let refunded_minor = match status {
        OrderStatus::PartiallyRefunded => PART_MINOR,
        OrderStatus::Refunded => AMOUNT_MINOR,
        OrderStatus::AwaitingPayment | OrderStatus::Paid | OrderStatus::Closed => 0,
    };
    let is_paid = !matches!(status, OrderStatus::AwaitingPayment | OrderStatus::Closed);
    let payment = is_paid.then(|| Payment {
        pay_order_no: PayOrderNo::parse("P1").expect("a number"),
        channel_trade_no: None,
        paid_at: PAID_AT,
    });
    OrderState { status, refunded_minor, payment, ..awaiting() }
}
