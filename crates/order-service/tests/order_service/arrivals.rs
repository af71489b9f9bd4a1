//! Everything that one payment may bring, in whatever order, however often and in whatever batches it arrives.

use std::collections::{BTreeMap, BTreeSet};

use events::codec::{BareOrder, Incoming};
use events::{EventType, MerchantId, PayEvent};
use futures_util::future::join_all;
use order_service::decide::{Notes, OrderState};
use order_service::fold::{MessageOutcome, fold};
use order_service::item::total;
use order_service::order::{Item, NewOrder, OrderKey, OrderStatus};
use order_service::split::split;
use order_service::store::orders;
use proptest::prelude::*;
use proptest::sample::subsequence;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::fixtures::{MERCHANT, cny, failed, key, order, refund, success};
use crate::store::{Fixture, full};

/// How many arrivals meet the database.
const SAMPLES: usize = 12;

/// Orders with what is told of them.
#[derive(Debug, Clone)]
struct Arrival {
    orders: Vec<NewOrder>,
    batches: Vec<Vec<Incoming>>,
}

prop_compose! {
    fn item()(
        quantity in 1..50_i64, price_minor in 0..10_000_i64, shop in 0..3_u8, warehouse in 0..3_u8
    ) -> Item {
        let label = |name: &str, number: u8| format!("{name}{number}").parse().unwrap();
        Item { sku: label("k", shop), quantity, price_minor, shop_id: label("s", shop), warehouse_id: label("w", warehouse) }
    }
}

/// An order of one to twelve lines of up to nine shops and warehouses.
fn any_order(order_no: &'static str) -> impl Strategy<Value = NewOrder> {
    let items =
        prop::collection::vec(item(), 1..=12).prop_filter("nothing to pay", |items| total(items) > Some(0));
    items.prop_map(move |items| NewOrder { amount: cny(total(&items).unwrap()), items, ..order(order_no) })
}

/// Some of: its success, up to four refunds of growing amounts, the bare order number of an older publisher, and the failure of
/// an earlier pay order; each perhaps several times.
fn told_of(order: &NewOrder) -> impl Strategy<Value = Vec<Incoming>> + use<> {
    let (amount, order_no) = (order.amount, order.key.order_no.to_string());
    prop::collection::btree_set(1..=amount.amount_minor, 0..=4).prop_flat_map(move |refunded| {
        let of = |event: PayEvent| full(&with_amount(event, amount));
        let refunds = refunded.iter().map(|refunded_minor| of(refund(&order_no, *refunded_minor)));
        let mut facts: Vec<_> = refunds.collect();
        facts.extend([of(success(&order_no)), bare(&order_no), of(failed(&order_no))]);
        let facts = [facts.clone(), facts.clone(), facts].concat();
        let count = facts.len();
        subsequence(facts, 0..=count)
    })
}

fn with_amount(mut event: PayEvent, amount: events::Money) -> PayEvent {
    event.order.amount = amount;
    if event.event_type == EventType::Refunded && event.order.refunded_minor == amount.amount_minor {
        event.order.status = events::Status::TradeRefunded;
    } else if event.event_type == EventType::Refunded {
        event.order.status = events::Status::PartiallyRefunded;
    }
    event
}

fn bare(order_no: &str) -> Incoming {
    Incoming::Bare(BareOrder {
        event_type: EventType::Success,
        merchant_id: MerchantId::parse(MERCHANT).unwrap(),
        order_no: key(order_no).order_no,
    })
}

/// Two orders, and all that is told of both, shuffled and cut into batches.
fn arrival() -> impl Strategy<Value = Arrival> {
    (any_order("1"), any_order("2"))
        .prop_flat_map(|(one, two)| {
            let told = (told_of(&one), told_of(&two)).prop_map(|(one, two)| [one, two].concat());
            (Just(vec![one, two]), told.prop_flat_map(|told| Just(told).prop_shuffle()))
        })
        .prop_flat_map(|(orders, told)| {
            (Just(orders), prop::collection::vec(any::<bool>(), told.len()), Just(told))
        })
        .prop_map(|(orders, cuts, told)| {
            let mut batches = vec![Vec::new()];
            for (message, cut_before) in told.into_iter().zip(cuts) {
                if cut_before {
                    batches.push(Vec::new());
                }
                batches.last_mut().unwrap().push(message);
            }
            Arrival { orders, batches }
        })
}

/// Status, refunded amount, whether the facts of the payment are known, and the number of notes: by what was told, not in which order.
fn expected(arrival: &Arrival, order: &NewOrder) -> (OrderStatus, i64, bool, usize) {
    let (mut refunded_minor, mut known, mut paid, mut notes) = (0, false, false, BTreeSet::new());
    for message in arrival.batches.iter().flatten() {
        match message {
            Incoming::Event(event) if event.order.order_no != order.key.order_no => {}
            Incoming::Event(event) if event.event_type == EventType::Failed => {
                notes.insert(event.order.pay_order_no.to_string());
            }
            Incoming::Event(event) => {
                (paid, known) = (true, true);
                refunded_minor = refunded_minor.max(event.order.refunded_minor);
            }
            Incoming::Bare(bare) => paid |= bare.order_no == order.key.order_no,
        }
    }
    let status = match refunded_minor {
        0 if paid => OrderStatus::Paid,
        0 => OrderStatus::AwaitingPayment,
        all if all == order.amount.amount_minor => OrderStatus::Refunded,
        _ => OrderStatus::PartiallyRefunded,
    };
    (status, refunded_minor, known, notes.len())
}

proptest! {
    #[test]
    fn batches_come_to_the_same_as_single_messages_and_an_order_is_first_paid_once(arrival in arrival()) {
        let mut states: BTreeMap<OrderKey, OrderState> =
            arrival.orders.iter().map(|order| (order.key.clone(), awaiting(order))).collect();
        let mut first_paid = Vec::new();
        for batch in &arrival.batches {
            let mut alone = states.clone();
            let mut outcomes = Vec::new();
            for message in batch {
                let folded = fold(&alone.iter().map(|(key, state)| (key.clone(), state)).collect(), &[message]);
                outcomes.extend(folded.outcomes);
                alone.extend(folded.changed);
            }
            let before: BTreeMap<_, _> = states.iter().map(|(key, state)| (key.clone(), state)).collect();
            let folded = fold(&before, &batch.iter().collect::<Vec<_>>());
            prop_assert_eq!(folded.outcomes, outcomes);
            first_paid.extend(folded.changed.iter().filter_map(|(key, state)| {
                let awaited = before[key].status == OrderStatus::AwaitingPayment;
                (awaited && state.status != OrderStatus::AwaitingPayment).then(|| key.clone())
            }));
            states.extend(folded.changed);
            prop_assert_eq!(&states, &alone);
        }
        for order in &arrival.orders {
            let (state, expected) = (&states[&order.key], expected(&arrival, order));
            let found = (state.status, state.refunded_minor, state.payment.is_some(), state.notes.len());
            prop_assert_eq!(found, expected);
            let splits = first_paid.iter().filter(|key| **key == order.key).count();
            prop_assert_eq!(splits, usize::from(expected.0 != OrderStatus::AwaitingPayment));
        }
    }
}

fn awaiting(order: &NewOrder) -> OrderState {
    OrderState {
        status: OrderStatus::AwaitingPayment,
        amount: order.amount,
        refunded_minor: 0,
        payment: None,
        notes: Notes::new(),
        version: 1,
    }
}

#[tokio::test]
async fn every_arrival_leaves_the_same_rows_and_the_split_once() {
    let mut runner = TestRunner::deterministic();
    for sample in 0..SAMPLES {
        let arrival = arrival().new_tree(&mut runner).unwrap().current();
        let fixture = Fixture::with_orders(&[]).await;
        for order in &arrival.orders {
            assert!(orders::create(&fixture.database, order).await.unwrap());
        }
        let batches = arrival.batches.iter().map(|batch| fixture.apply(batch));
        if sample % 2 == 0 {
            for batch in batches {
                batch.await;
            }
        } else {
            // Whichever comes first: replicas and queues do not wait for one another.
            join_all(batches).await;
        }
        let mut before = Vec::new();
        for new in &arrival.orders {
            let found = fixture.order(new.key.order_no.as_str()).await;
            let expected = expected(&arrival, new);
            let shown = (found.status, found.refunded_minor, found.payment.is_some(), found.payments.len());
            assert_eq!(shown, expected, "{arrival:?}");
            if let Some(payment) = &found.payment {
                let order_no = &new.key.order_no;
                assert_eq!(payment.pay_order_no.to_string(), format!("P-{order_no}"));
                assert_eq!(payment.channel_trade_no, Some(format!("T-{order_no}")));
            }
            let paid = expected.0 != OrderStatus::AwaitingPayment;
            assert_eq!(found.sub_orders, if paid { split(&new.items).unwrap() } else { Vec::new() });
            let sum: i64 = found.sub_orders.iter().map(|part| part.amount_minor).sum();
            assert_eq!(sum, if paid { new.amount.amount_minor } else { 0 });
            before.push(found);
        }
        let again = fixture.apply(&arrival.batches.concat()).await;
        assert!(again.iter().all(|outcome| *outcome == MessageOutcome::Duplicate), "{again:?}");
        for found in before {
            assert_eq!(fixture.order(found.content.key.order_no.as_str()).await, found);
        }
    }
}
