//! Refunds, however they are stated and in whatever order and batches they come.

use events::EventKey;

use super::*;
use crate::facts::arrivals::{amounts, by_parts, cumulative, somehow};

/// What the database keeps from one batch to the next.
struct Kept {
    orders: BTreeMap<PayOrderNo, PayOrder>,
    counted: Counted,
    /// Of all batches.
    events: Vec<PayEvent>,
    outcomes: Vec<FactOutcome>,
}

impl Kept {
    fn new() -> Self {
        Self { orders: known(&["P1"]), counted: Counted::new(), events: Vec::new(), outcomes: Vec::new() }
    }

    fn take(&mut self, kinds: &[FactKind]) {
        let jobs: Vec<_> = kinds.iter().map(|kind| stated("P1", kind.clone(), "T1")).collect();
        let wanted = refunded_by_parts(&jobs);
        let counted =
            self.counted.clone().into_iter().filter(|((number, _), _)| wanted.contains(&number.as_str()));
        let folded = fold(self.orders.clone(), (counted.collect(), Trades::default()), &jobs);
        self.orders.extend(folded.changed.into_iter().map(|order| (order.pay_order_no.clone(), order)));
        for refund in folded.refunds {
            let before = self.counted.insert((refund.pay_order_no, refund.refund_no), refund.amount_minor);
            assert_eq!(before, None, "it is counted already");
        }
        self.events.extend(folded.events.into_iter().map(|new| new.event));
        self.outcomes.extend(folded.outcomes);
    }

    fn order(&self) -> &PayOrder {
        self.orders.values().next().unwrap()
    }
}

#[test]
fn a_refund_of_one_number_counts_once_whatever_is_repeated_and_whenever() {
    let mut kept = Kept::new();
    kept.take(&[PAID, part("R1", 300), part("R1", 300)]);
    kept.take(&[part("R1", 300), part("R2", 300), part("R3", 400)]);
    // All is given back: another refund would exceed the total, a repeated one does not.
    kept.take(&[part("R1", 300), part("R4", 1)]);
    let exceeds = FactOutcome::Contradiction(ContradictionReason::RefundExceedsTotal);
    let [applied, duplicate] = [FactOutcome::Applied, FactOutcome::Duplicate];
    assert_eq!(kept.outcomes, [applied, applied, duplicate, duplicate, applied, applied, duplicate, exceeds]);
    assert_eq!((kept.order().status, kept.order().version), (Status::TradeRefunded, 5));
    let told: Vec<_> = kept.events.iter().map(|event| event.order.refunded_minor).collect();
    assert_eq!(told, [0, 300, 600, 1000]);
}

#[test]
fn a_refund_that_is_counted_is_still_checked() {
    let mut kept = Kept::new();
    kept.take(&[PAID, part("R1", 300)]);
    let before = kept.order().clone();
    kept.take(&[part("R1", 301)]);
    assert_eq!(kept.outcomes.last(), Some(&FactOutcome::Contradiction(ContradictionReason::AmountMismatch)));
    let mut of_another_trade = stated("P1", part("R1", 300), "T2");
    let folded =
        fold(kept.orders.clone(), (kept.counted.clone(), Trades::default()), &[of_another_trade.clone()]);
    assert_eq!(folded.outcomes, [FactOutcome::Contradiction(ContradictionReason::SecondTrade)]);
    of_another_trade.fact.account = Some(ChannelAccount::parse("another").unwrap());
    let folded = fold(kept.orders.clone(), (kept.counted.clone(), Trades::default()), &[of_another_trade]);
    assert_eq!(folded.outcomes, [FactOutcome::Contradiction(ContradictionReason::AccountMismatch)]);
    assert_eq!((kept.order(), kept.counted.len()), (&before, 1));
}

#[test]
fn of_cumulative_amounts_the_smaller_that_comes_later_is_a_duplicate() {
    let mut kept = Kept::new();
    kept.take(&[PAID, refunded(700), refunded(300), refunded(TOTAL)]);
    let told: Vec<_> = kept.events.iter().map(|event| event.order.refunded_minor).collect();
    assert_eq!(told, [0, 700, TOTAL], "300 is part of the 700 that are told");
}

/// What holds of every order of arrival: the same end, one success, a refund for each growth, consecutive versions, and an event of
/// its own for each of them. Returns the growths.
fn ended(batches: &[Vec<FactKind>], amounts: &[i64]) -> Vec<i64> {
    let mut kept = Kept::new();
    for batch in batches {
        kept.take(batch);
    }
    let (order, total) = (kept.order(), amounts.iter().sum::<i64>());
    let status = if total == TOTAL { Status::TradeRefunded } else { Status::PartiallyRefunded };
    assert_eq!((order.status, order.refunded_minor), (status, total));
    assert_eq!((order.channel_trade_no.as_deref(), order.paid_at), (Some("T1"), Some(NOW)));
    assert!(kept.outcomes.iter().all(|outcome| outcome.reason().is_none()), "{:?}", kept.outcomes);
    let versions: Vec<_> = kept.events.iter().map(|event| event.order.version).collect();
    assert_eq!(versions, (2..=order.version).collect::<Vec<_>>());
    let keys: BTreeSet<EventKey> = kept.events.iter().map(PayEvent::key).collect();
    assert_eq!(keys.len(), kept.events.len());
    let of = |event_type| kept.events.iter().filter(move |event| event.event_type == event_type);
    assert_eq!(of(EventType::Success).count(), 1);
    let mut before = 0;
    of(EventType::Refunded)
        .map(|event| event.order.refunded_minor - std::mem::replace(&mut before, event.order.refunded_minor))
        .collect()
}

proptest! {
    #[test]
    fn refunds_by_parts_each_have_their_event_in_any_order_and_batches(
        (mut amounts, batches) in amounts().prop_flat_map(|amounts| {
            let told = somehow(by_parts(&amounts));
            (Just(amounts), told)
        })
    ) {
        let mut growths = ended(&batches, &amounts);
        growths.sort_unstable();
        amounts.sort_unstable();
        prop_assert_eq!(growths, amounts);
    }

    #[test]
    fn cumulative_refunds_end_the_same_in_any_order_and_batches(
        (amounts, batches) in amounts().prop_flat_map(|amounts| {
            let told = somehow(cumulative(&amounts));
            (Just(amounts), told)
        })
    ) {
        let growths = ended(&batches, &amounts);
        prop_assert!(growths.iter().all(|growth| *growth > 0));
        prop_assert!(growths.len() <= amounts.len());
        prop_assert_eq!(growths.iter().sum::<i64>(), amounts.iter().sum::<i64>());
    }
}
