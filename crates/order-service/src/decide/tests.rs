use events::{ChannelAccount, Currency, EventId, MerchantId, OrderNo, PayOrder, Purpose};
use proptest::prelude::*;
use proptest::sample::subsequence;
use time::macros::datetime;
use uuid::Uuid;

use super::*;

mod states;

const AMOUNT_MINOR: i64 = 1_000;
const PAID_AT: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

fn cny(amount_minor: i64) -> Money {
    Money::new(amount_minor, Currency::parse("CNY").unwrap())
}

fn awaiting() -> OrderState {
    OrderState {
        status: OrderStatus::AwaitingPayment,
        amount: cny(AMOUNT_MINOR),
        refunded_minor: 0,
        payment: None,
        notes: Notes::new(),
        version: 1,
    }
}

fn event(event_type: EventType, pay_order_no: &str, refunded_minor: i64) -> PayEvent {
    let status = match event_type {
        EventType::Success => Status::TradeSuccess,
        EventType::Failed => Status::TradeFailed,
        EventType::Closed => Status::TradeClosed,
        EventType::Refunded if refunded_minor == AMOUNT_MINOR => Status::TradeRefunded,
        EventType::Refunded => Status::PartiallyRefunded,
    };
    PayEvent {
        event_id: EventId(Uuid::now_v7()),
        event_type,
        occurred_at: PAID_AT,
        order: PayOrder {
            pay_order_no: PayOrderNo::parse(pay_order_no).unwrap(),
            merchant_id: MerchantId::parse("M1").unwrap(),
            order_no: OrderNo::parse("10001").unwrap(),
            purpose: Purpose::Order,
            amount: cny(AMOUNT_MINOR),
            channel: ChannelAccount::parse("main").unwrap(),
            status,
            version: 1,
            refunded_minor,
            channel_trade_no: Some("T1".to_owned()),
            paid_at: status.is_paid().then_some(PAID_AT),
            subject: None,
            notify_url: None,
            attach: None,
        },
    }
}

fn full(event: PayEvent) -> Incoming {
    Incoming::Event(Box::new(event))
}

fn success() -> Incoming {
    full(event(EventType::Success, "P1", 0))
}

fn refund(refunded_minor: i64) -> Incoming {
    full(event(EventType::Refunded, "P1", refunded_minor))
}

fn bare(event_type: EventType) -> Incoming {
    Incoming::Bare(BareOrder {
        event_type,
        merchant_id: MerchantId::parse("M1").unwrap(),
        order_no: OrderNo::parse("10001").unwrap(),
    })
}

fn fold(state: OrderState, messages: &[Incoming]) -> OrderState {
    messages.iter().fold(state, |state, message| match decide(&state, message) {
        Decision::Applied(next) => {
            assert!(next.version > state.version, "an effect without a version");
            next
        }
        Decision::Duplicate => state,
        Decision::Refused(refusal) => panic!("{refusal:?}"),
    })
}

fn reason(state: &OrderState, message: &Incoming) -> &'static str {
    match decide(state, message) {
        Decision::Refused(refusal) => refusal.reason,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn without_version(state: OrderState) -> OrderState {
    OrderState { version: 0, ..state }
}

/// Everything that one payment may bring, some of it twice.
fn messages() -> Vec<Incoming> {
    vec![
        success(),
        success(),
        refund(300),
        refund(700),
        refund(700),
        refund(AMOUNT_MINOR),
        bare(EventType::Success),
        bare(EventType::Success),
        full(event(EventType::Failed, "P0", 0)),
        full(event(EventType::Closed, "P0", 0)),
        full(event(EventType::Failed, "P0", 0)),
        bare(EventType::Failed),
    ]
}

proptest! {
    #[test]
    fn every_order_of_arrival_ends_in_the_same_state(shuffled in Just(messages()).prop_shuffle()) {
        let in_order = without_version(fold(awaiting(), &messages()));
        prop_assert_eq!(in_order.status, OrderStatus::Refunded);
        prop_assert_eq!(without_version(fold(awaiting(), &shuffled)), in_order);
    }

    #[test]
    fn any_part_of_them_ends_in_the_same_state_and_repeating_it_changes_nothing(
        (part, shuffled) in subsequence(messages(), 0..=messages().len())
            .prop_flat_map(|part| (Just(part.clone()), Just(part).prop_shuffle()))
    ) {
        let once = fold(awaiting(), &shuffled);
        prop_assert_eq!(without_version(once.clone()), without_version(fold(awaiting(), &part)));
        prop_assert_eq!(fold(once.clone(), &shuffled), once);
    }

    #[test]
    fn the_rank_of_a_paid_order_never_falls(shuffled in Just(messages()).prop_shuffle()) {
        let mut state = awaiting();
        for message in &shuffled {
            let next = fold(state.clone(), std::slice::from_ref(message));
            prop_assert!(next.status >= state.status && next.refunded_minor >= state.refunded_minor);
            prop_assert!(state.payment.is_none() || next.payment == state.payment);
            state = next;
        }
    }
}

#[test]
fn a_success_pays_with_its_facts() {
    let paid = fold(awaiting(), &[success()]);
    assert_eq!(paid.status, OrderStatus::Paid);
    assert_eq!(paid.version, 2);
    let payment = paid.payment.unwrap();
    assert_eq!((payment.pay_order_no.as_str(), payment.paid_at), ("P1", PAID_AT));
    assert_eq!(payment.channel_trade_no.as_deref(), Some("T1"));
}

#[test]
fn a_refund_on_an_unpaid_order_pays_it_first() {
    let refunded = fold(awaiting(), &[refund(300)]);
    assert_eq!(refunded.status, OrderStatus::PartiallyRefunded);
    assert_eq!((refunded.refunded_minor, refunded.version), (300, 3));
    assert!(refunded.payment.is_some());
}

#[test]
fn a_bare_order_number_pays_without_facts_and_the_full_event_fills_them_in() {
    let bare_paid = fold(awaiting(), &[bare(EventType::Success)]);
    assert_eq!((bare_paid.status, &bare_paid.payment), (OrderStatus::Paid, &None));
    assert!(matches!(decide(&bare_paid, &success()), Decision::Applied(next) if next.payment.is_some()));
}

#[test]
fn the_full_event_after_a_bare_order_number_is_still_checked() {
    let bare_paid = fold(awaiting(), &[bare(EventType::Success)]);
    let mut other_amount = event(EventType::Success, "P1", 0);
    other_amount.order.amount = cny(1);
    assert_eq!(reason(&bare_paid, &full(other_amount)), "amount_mismatch");
}

#[test]
fn contradictions_are_refused_with_their_reason() {
    let paid = fold(awaiting(), &[success()]);
    let closed = OrderState { status: OrderStatus::Closed, ..awaiting() };
    let mut other_currency = event(EventType::Success, "P1", 0);
    other_currency.order.amount.currency = Currency::parse("USD").unwrap();

    assert_eq!(reason(&awaiting(), &full(other_currency)), "amount_mismatch");
    assert_eq!(reason(&paid, &full(event(EventType::Success, "P2", 0))), "second_payment");
    assert_eq!(reason(&paid, &full(event(EventType::Refunded, "P2", 300))), "second_payment");
    assert_eq!(reason(&closed, &success()), "order_closed");
    assert_eq!(reason(&closed, &refund(300)), "order_closed");
    assert_eq!(reason(&closed, &bare(EventType::Success)), "order_closed");
    assert_eq!(reason(&paid, &bare(EventType::Refunded)), "invalid");
}

#[test]
fn a_failure_or_close_is_noted_once_and_leaves_every_status_alone() {
    let closed = OrderState { status: OrderStatus::Closed, ..awaiting() };
    for state in [awaiting(), closed, fold(awaiting(), &[success()])] {
        for message in [full(event(EventType::Failed, "P0", 0)), bare(EventType::Closed)] {
            let noted = fold(state.clone(), std::slice::from_ref(&message));
            assert_eq!((noted.status, noted.notes.len()), (state.status, 1));
            assert_eq!(decide(&noted, &message), Decision::Duplicate);
        }
    }
}
