use events::{Currency, EventId, Money, OrderNo, Status};
use proptest::prelude::*;
use time::macros::datetime;
use uuid::Uuid;

use super::*;
use crate::fixtures::pay_order;

const TOTAL: i64 = 1000;

fn order(number: &str, refunded_minor: i64) -> PayOrder {
    let pay_order_no = PayOrderNo::parse(number).unwrap();
    PayOrder {
        order_no: OrderNo::of_recharge(&pay_order_no),
        purpose: Purpose::Recharge,
        amount: Money::new(TOTAL, Currency::parse("CNY").unwrap()),
        status: Status::TradeSuccess,
        version: 2,
        refunded_minor,
        channel_trade_no: Some(format!("T-{number}")),
        ..pay_order(pay_order_no)
    }
}

fn event(event_type: EventType, order: PayOrder) -> PayEvent {
    let occurred_at = datetime!(2026-01-01 00:00 UTC);
    PayEvent { event_id: EventId(Uuid::now_v7()), event_type, order, occurred_at }
}

fn paid(number: &str) -> PayEvent {
    event(EventType::Success, order(number, 0))
}

fn refunded(number: &str, refunded_minor: i64) -> PayEvent {
    event(EventType::Refunded, order(number, refunded_minor))
}

/// Books in which every pay order credits the user `u1`, who has `balance`.
fn books(balance: i64) -> Books {
    let users = ["P1", "P2"].map(|number| (PayOrderNo::parse(number).unwrap(), UserId::parse("u1").unwrap()));
    let users = BTreeMap::from(users);
    let account = account(&order("P1", 0), &users).unwrap();
    Books { users, balances: BTreeMap::from([(account, balance)]), refunded: BTreeMap::new() }
}

/// What each flow is known by, and its entries.
fn told(balance: i64, events: &[PayEvent]) -> Vec<(String, Vec<(String, i64)>)> {
    let flows = books(balance).flows(&events.iter().collect::<Vec<_>>()).unwrap();
    let entry = |entry: &Entry| (entry.owner.to_string(), entry.amount_minor);
    flows.into_iter().map(|flow| (flow.trans_no, flow.entries.iter().map(entry).collect())).collect()
}

fn sides(sides: &[(&str, i64)]) -> Vec<(String, i64)> {
    sides.iter().map(|(owner, amount)| ((*owner).to_owned(), *amount)).collect()
}

#[test]
fn a_success_credits_and_a_refund_takes_back() {
    let told = told(0, &[paid("P1"), refunded("P1", 300), refunded("P1", TOTAL)]);
    let expected = [
        ("gateway_main/T-P1", sides(&[("channel/gateway_main", -1000), ("user/m1/u1", 1000)])),
        ("P1:refunded:300", sides(&[("user/m1/u1", -300), ("channel/gateway_main", 300)])),
        ("P1:refunded:1000", sides(&[("user/m1/u1", -700), ("channel/gateway_main", 700)])),
    ];
    assert_eq!(told, expected.map(|(trans_no, sides)| (trans_no.to_owned(), sides)));
}

#[test]
fn what_is_spent_is_the_merchants_shortfall() {
    let refunds = [refunded("P1", 600), refunded("P2", 500)];
    let told = told(700, &refunds);
    assert_eq!(told[0].1, sides(&[("user/m1/u1", -600), ("channel/gateway_main", 600)]));
    let last = [("user/m1/u1", -100), ("shortfall/m1", -400), ("channel/gateway_main", 500)];
    assert_eq!(told[1].1, sides(&last));
    let nothing_there = [("shortfall/m1", -600), ("channel/gateway_main", 600)];
    assert_eq!(self::told(0, &refunds[..1])[0].1, sides(&nothing_there));
}

#[test]
fn a_refund_takes_what_it_adds_to_those_before() {
    let mut books = books(TOTAL);
    books.refunded.insert(PayOrderNo::parse("P1").unwrap(), 300);
    let flows = books.flows(&[&refunded("P1", 450)]).unwrap();
    assert_eq!(flows[0].entries.amounts().map(|(_, amount)| amount).collect::<Vec<_>>(), [-150, 150]);
}

#[test]
fn a_pay_order_without_a_recharge_is_refused() {
    let error = books(0).flows(&[&paid("P3")]).unwrap_err();
    assert_eq!(error.to_string(), "P3: no recharge has this pay order");
}

proptest! {
    /// However little is there: what the channel gave back is taken from the user and the shortfall, and never more than is there.
    #[test]
    fn balances_never_go_negative(balance in 0..3 * TOTAL, refunds in prop::collection::btree_set(1..=TOTAL, 1..6)) {
        let events: Vec<_> = refunds.iter().map(|refunded_minor| refunded("P1", *refunded_minor)).collect();
        let (mut user, mut shortfall, mut channel) = (balance, 0, 0);
        for (_, entries) in told(balance, &events) {
            for (owner, amount) in entries {
                let held = match owner.as_str() {
                    "user/m1/u1" => &mut user,
                    "shortfall/m1" => &mut shortfall,
                    _ => &mut channel,
                };
                *held += amount;
                prop_assert!(user >= 0);
            }
        }
        let all = *refunds.last().unwrap();
        prop_assert_eq!((channel, user), (all, (balance - all).max(0)));
        prop_assert_eq!(shortfall, (balance - all).min(0));
    }
}
