//! Refunds as channels state them, on a real server.

use admin_api::contradiction::Contradiction as Shown;
use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;
use crate::facts::arrivals::{TOTAL, amounts, by_parts, cumulative, part, somehow};
use crate::facts::resolve;

/// How many arrivals are generated of each kind.
const SAMPLES: usize = 8;

async fn refunds(store: &Store) -> Vec<(String, i64)> {
    let select = "SELECT refund_no, amount_minor FROM pay.refunds ORDER BY pay_order_no, refund_no";
    let rows = store.client().await.query(select, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn a_refund_that_is_stated_by_itself_counts_once_whichever_batch_repeats_it() {
    let store = Store::create().await;
    let new = new_order("1");
    store.insert(std::slice::from_ref(&new)).await;
    let (one, another) = (store.writer(), store.writer());
    let (first, second) = (job(&new, part("R1", 300)), job(&new, part("R2", 1699)));
    let outcomes = join_all((0..20).map(|turn| {
        let writer = if turn % 2 == 0 { &one } else { &another };
        writer.submit(if turn % 3 == 0 { first.clone() } else { second.clone() })
    }))
    .await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Ok(FactOutcome::Applied)).count(), 2);
    // A writer that has seen none of it.
    for kind in [part("R1", 300), part("R2", 1699), paid()] {
        assert_eq!(store.writer().submit(job(&new, kind)).await, Ok(FactOutcome::Duplicate));
    }
    let mismatch = Ok(FactOutcome::Contradiction(ContradictionReason::AmountMismatch));
    assert_eq!(one.submit(job(&new, part("R1", 299))).await, mismatch);
    let found = store.find(&new).await.order;
    assert_eq!((found.status, found.version, found.refunded_minor), (Status::TradeRefunded, 4, 1999));
    assert_eq!(refunds(&store).await, [("R1".to_owned(), 300), ("R2".to_owned(), 1699)]);
}

#[tokio::test]
async fn what_the_database_refuses_of_a_refund_leaves_no_trace_of_it() {
    let store = Store::create().await;
    let new = new_order("1");
    store.insert(std::slice::from_ref(&new)).await;
    let writer = store.writer();
    let outcomes = tokio::join!(biased; writer.submit(job(&new, part("\0", 1))), writer.submit(job(&new, part("R1", 2))));
    assert_eq!(outcomes, (Err(NotPersisted), Ok(FactOutcome::Applied)));
    assert_eq!(store.find(&new).await.order.refunded_minor, 2);
    assert_eq!(refunds(&store).await, [("R1".to_owned(), 2)]);
}

#[tokio::test]
async fn whoever_states_no_single_refund_does_not_touch_their_table() {
    let store = Store::create().await;
    let new = new_order("1");
    store.insert(std::slice::from_ref(&new)).await;
    let mut client = store.client().await;
    let locking = client.transaction().await.unwrap();
    locking.execute("LOCK TABLE pay.refunds IN ACCESS EXCLUSIVE MODE", &[]).await.unwrap();
    let writer = store.writer();
    let refund = FactKind::Refunded { refunded_minor: 500, refunded_at: now() };
    for kind in [paid(), refund] {
        assert_eq!(writer.submit(job(&new, kind)).await, Ok(FactOutcome::Applied));
    }
    locking.rollback().await.unwrap();
    assert_eq!(writer.submit(job(&new, part("R1", 1))).await, Ok(FactOutcome::Applied));
}

/// A pay order that was closed before these were stated, and the decision to accept them.
async fn accepted(
    store: &Store,
    order_no: &str,
    kinds: &[FactKind],
) -> (StoredPayOrder, Result<usize, String>) {
    let new = new_order(order_no);
    store.insert(std::slice::from_ref(&new)).await;
    let writer = store.writer();
    assert_eq!(writer.submit(job(&new, FactKind::Closed)).await, Ok(FactOutcome::Applied));
    for kind in kinds {
        let late = Ok(FactOutcome::Contradiction(ContradictionReason::SuccessAfterClose));
        assert_eq!(writer.submit(job(&new, kind.clone())).await, late);
    }
    let open = serde_json::from_value(serde_json::json!({})).unwrap();
    let listed = contradictions::list(&store.client().await, &open).await.unwrap();
    let of_it = |row: &&Shown| row.pay_order_no.as_deref() == Some(new.order.pay_order_no.as_str());
    let id = listed.iter().find(of_it).unwrap().contradiction_id;
    let decision = serde_json::json!({ "action": "accepted", "note": "the money moved", "by": "ops" });
    let decision = serde_json::from_value(decision).unwrap();
    let resolved = resolve(&store.database, &Signals::new(), id, &decision, &TraceContext::generate()).await;
    (new, resolved.map(|resolved| resolved.theirs.len()).map_err(|refusal| refusal.to_string()))
}

#[tokio::test]
async fn accepting_a_payment_after_the_close_books_every_refund_that_was_stated_by_itself() {
    let store = Store::create().await;
    let stated = [part("R2", 500), paid(), part("R1", 300), part("R2", 500), part("R3", 300)];
    let (new, resolved) = accepted(&store, "1", &stated).await;
    assert_eq!(resolved, Ok(4), "the success and three refunds, one of them stated twice");
    let found = store.find(&new).await.order;
    assert_eq!((found.status, found.version, found.refunded_minor), (Status::PartiallyRefunded, 6, 1100));
    let counted = [("R1", 300), ("R2", 500), ("R3", 300)].map(|(number, minor)| (number.to_owned(), minor));
    assert_eq!(refunds(&store).await, counted);
    assert_eq!(store.writer().submit(job(&new, part("R2", 500))).await, Ok(FactOutcome::Duplicate));

    let (new, resolved) = accepted(&store, "2", &[paid(), part("R1", 300), part("R1", 400)]).await;
    assert_eq!(resolved, Err("it contradicts still: amount_mismatch".to_owned()));
    assert_eq!(store.find(&new).await.order.status, Status::TradeClosed);
    assert_eq!(refunds(&store).await, counted, "nothing of it is left behind");
}

/// The same state and, but for the order, the same events, whatever order and batches the facts of a payment arrive in.
#[tokio::test]
async fn every_arrival_of_a_payment_and_its_refunds_ends_the_same() {
    let store = Store::create().await;
    let mut runner = TestRunner::deterministic();
    for state in [cumulative, by_parts] {
        for sample in 0..SAMPLES {
            let arrivals =
                amounts().prop_flat_map(|amounts| (Just(amounts.clone()), somehow(state(&amounts))));
            let (amounts, batches) = arrivals.new_tree(&mut runner).unwrap().current();
            let mut new = new_order(&format!("{}-{sample}", store.count("pay.pay_orders").await));
            new.order.amount = Money::new(TOTAL, new.order.amount.currency);
            store.insert(std::slice::from_ref(&new)).await;
            for batch in &batches {
                let writer = store.writer();
                let written = batch.iter().map(|kind| writer.submit(job(&new, kind.clone())));
                for outcome in join_all(written).await {
                    assert!(
                        matches!(outcome, Ok(FactOutcome::Applied | FactOutcome::Duplicate)),
                        "{outcome:?}: {batches:?}"
                    );
                }
            }
            let found = store.find(&new).await.order;
            let sum: i64 = amounts.iter().sum();
            let status = if sum == TOTAL { Status::TradeRefunded } else { Status::PartiallyRefunded };
            assert_eq!((found.status, found.refunded_minor), (status, sum), "{batches:?}");
            let number = &found.pay_order_no;
            let events = store.count(&format!("pay.events WHERE pay_order_no = '{number}'")).await;
            assert_eq!(events, found.version - 1, "{batches:?}");
            let successes = format!("pay.events WHERE pay_order_no = '{number}' AND type = 'pay.success'");
            assert_eq!(store.count(&successes).await, 1, "{batches:?}");
            let counted = store.count(&format!("pay.refunds WHERE pay_order_no = '{number}'")).await;
            let parts = batches.iter().flatten().any(|kind| matches!(kind, FactKind::PartRefunded { .. }));
            assert_eq!(counted, if parts { i64::try_from(amounts.len()).unwrap() } else { 0 }, "{batches:?}");
        }
    }
}
