//! For tests: a payment and its refunds, as they may arrive.

use events::FactKind;
use proptest::prelude::*;
use proptest::sample::subsequence;
use time::OffsetDateTime;
use time::macros::datetime;

/// What every payment of these comes to.
pub(crate) const TOTAL: i64 = 1000;
/// When all of it happens, by the channel.
pub(crate) const AT: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

/// The success.
pub(crate) const PAID: FactKind = FactKind::Succeeded { paid_at: AT };

/// A refund by what it comes to.
pub(crate) const fn refunded(refunded_minor: i64) -> FactKind {
    FactKind::Refunded { refunded_minor, refunded_at: AT }
}

/// A refund by itself.
pub(crate) fn part(refund_no: &str, amount_minor: i64) -> FactKind {
    FactKind::PartRefunded { refund_no: refund_no.to_owned(), amount_minor, refunded_at: AT }
}

/// One to five amounts that are the total or less together.
pub(crate) fn amounts() -> impl Strategy<Value = Vec<i64>> {
    (prop::collection::vec(1..=200_i64, 1..=4), any::<bool>()).prop_map(|(mut amounts, in_full)| {
        if in_full {
            amounts.push(TOTAL - amounts.iter().sum::<i64>());
        }
        amounts
    })
}

/// A success and these refunds, some of them repeated, perhaps a failure: in any order, cut into batches.
pub(crate) fn somehow(refunds: Vec<FactKind>) -> impl Strategy<Value = Vec<Vec<FactKind>>> {
    let facts = [vec![PAID], refunds].concat();
    let more = [facts.clone(), facts.clone(), vec![FactKind::Failed]].concat();
    let count = more.len();
    subsequence(more, 0..=count)
        .prop_flat_map(move |more| Just([facts.clone(), more].concat()).prop_shuffle())
        .prop_flat_map(|facts| (prop::collection::vec(any::<bool>(), facts.len()), Just(facts)))
        .prop_map(|(cuts, facts)| {
            let mut batches = vec![Vec::new()];
            for (fact, cut_before) in facts.into_iter().zip(cuts) {
                if cut_before {
                    batches.push(Vec::new());
                }
                batches.last_mut().expect("one at least").push(fact);
            }
            batches
        })
}

/// Refunds of these amounts, each stated with what it comes to.
pub(crate) fn cumulative(amounts: &[i64]) -> Vec<FactKind> {
    let sums = amounts.iter().scan(0, |sum, amount| {
        *sum += amount;
        Some(*sum)
    });
    sums.map(refunded).collect()
}

/// The same, each stated by itself.
pub(crate) fn by_parts(amounts: &[i64]) -> Vec<FactKind> {
    (1..).zip(amounts).map(|(number, amount)| part(&format!("R{number}"), *amount)).collect()
}
