//! Recharges where two writers meet, which no request can make sure of.

use events::{ContradictionReason, UserId};
use futures_util::future::join_all;
use ledger::{Account, Owner};

use super::*;
use crate::store::recharges::{self, Recharge};

/// A recharge of a user of its own, with an account.
async fn recharge(store: &Store, recharge_no: &str) -> StoredPayOrder {
    let mut pay_order = new_order("1");
    pay_order.order.purpose = Purpose::Recharge;
    pay_order.order.order_no = OrderNo::of_recharge(&pay_order.order.pay_order_no);
    let new = Recharge {
        number: recharge_no.parse().unwrap(),
        user_id: UserId::parse(recharge_no).unwrap(),
        pay_order,
    };
    let owner =
        Owner::User { merchant_id: new.pay_order.order.merchant_id.clone(), user_id: new.user_id.clone() };
    let account = &Account { owner, currency: new.pay_order.order.amount.currency };
    let inserted = &new;
    let made = store.database.transaction(|tx| {
        Box::pin(async move {
            ledger::open_account(&tx, account).await?;
            new_pay_orders::insert(&tx, std::slice::from_ref(&inserted.pay_order)).await?;
            recharges::insert(&tx, inserted).await
        })
    });
    assert!(made.await.unwrap());
    new.pay_order
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_trade_at_two_writers_at_once_pays_one_recharge_and_contradicts_the_other() {
    let store = Store::create().await;
    let writers = [store.writer(), store.writer(), store.writer()];
    for round in 0..30 {
        let orders = join_all((0..3).map(async |n| recharge(&store, &format!("R{round}-{n}")).await)).await;
        let jobs = orders.iter().map(|order| {
            let mut job = job(order, paid());
            job.fact.channel_trade_no = Some(format!("T{round}"));
            job
        });
        let written = join_all(writers.iter().zip(jobs).map(|(writer, job)| writer.submit(job))).await;
        let applied = written.iter().filter(|outcome| **outcome == Ok(Outcome::Applied)).count();
        let reused = Ok(Outcome::Contradiction(ContradictionReason::TradeReused));
        let contradicted = written.iter().filter(|outcome| **outcome == reused).count();
        assert_eq!((applied, contradicted), (1, 2), "{written:?}");
    }
    assert_eq!(store.count("ledger.flows").await, 30);
    assert_eq!(store.count("pay.contradictions").await, 60);
    assert_eq!(recharges::differing(&store.client().await).await.unwrap(), []);
}
