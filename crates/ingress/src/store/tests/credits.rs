//! What the database itself holds of recharges: no deadlocks between their accounts, and no paid one without its credit.

use events::UserId;
use futures_util::future::join_all;

use super::*;
use crate::facts::write_in;
use crate::store::recharges::{self, Recharge};
use crate::store::users::UserKey;

/// A recharge of a user who has an account.
pub(super) async fn recharge_of(store: &Store, recharge_no: &str, user_id: &str) -> StoredPayOrder {
    let mut pay_order = new_order("1");
    pay_order.order.purpose = Purpose::Recharge;
    pay_order.order.order_no = OrderNo::of_recharge(&pay_order.order.pay_order_no);
    let user_id = UserId::parse(user_id).unwrap();
    let new = Recharge { number: recharge_no.parse().unwrap(), user_id, pay_order };
    let merchant_id = new.pay_order.order.merchant_id.clone();
    let user = UserKey { merchant_id, user_id: new.user_id.clone() };
    let account = &user.account(new.pay_order.order.amount.currency);
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

fn of_own_trade(order: &StoredPayOrder, kind: FactKind) -> Job {
    let mut job = job(order, kind);
    job.fact.channel_trade_no = Some(format!("T-{}", job.pay_order_no));
    job
}

async fn deadlocks(store: &Store) -> i64 {
    let client = store.client().await;
    client.batch_execute("SELECT pg_stat_force_next_flush()").await.unwrap();
    let counted = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    client.query_one(counted, &[]).await.unwrap().get(0)
}

/// A deadlock would cost everybody in both batches the `deadlock_timeout`, a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn refunds_and_credits_of_the_same_users_lock_them_in_one_order() {
    let store = Store::create().await;
    let batch = async |round: usize, refunded: &str, credited: &str| {
        let [old, new] = ["OLD", "NEW"].map(|name| format!("{name}-{round}-{refunded}"));
        let old = recharge_of(&store, &old, refunded).await;
        let paid_before = store.writer().submit(of_own_trade(&old, paid())).await;
        assert_eq!(paid_before, Ok(FactOutcome::Applied));
        let new = recharge_of(&store, &new, credited).await;
        let refund = FactKind::Refunded { refunded_minor: 10, refunded_at: now() };
        [of_own_trade(&old, refund), of_own_trade(&new, paid())]
    };
    for round in 0..20 {
        let batches = [batch(round, "a", "z").await, batch(round, "z", "a").await];
        let written = batches.iter().map(async |jobs| {
            let write = store.database.transaction(|tx| Box::pin(async move { write_in(&tx, jobs).await }));
            write.await
        });
        for folded in join_all(written).await {
            assert_eq!(folded.unwrap().outcomes, [FactOutcome::Applied; 2]);
        }
    }
    assert_eq!(deadlocks(&store).await, 0);
}

/// As a release would commit it that knows nothing of the ledger.
#[tokio::test]
async fn nothing_of_the_ledger_is_paid_or_refunded_without_its_flow() {
    let store = Store::create().await;
    let recharge = recharge_of(&store, "R1", "u1").await;
    let mut from_balance = new_order("B1");
    from_balance.order.channel = ChannelAccount::parse(ChannelAccount::BALANCE).unwrap();
    store.insert(std::slice::from_ref(&from_balance)).await;
    let client = store.client().await;
    let set = async |order: &StoredPayOrder, status: &str, refunded_minor: i64| {
        let sql = "UPDATE pay.pay_orders SET status = $2, refunded_minor = $3, version = version + 1 WHERE pay_order_no = $1";
        let updated =
            client.execute(sql, &[&order.order.pay_order_no.as_str(), &status, &refunded_minor]).await;
        updated.map_err(|error| error.code().cloned())
    };
    let refused = Err(Some(tokio_postgres::error::SqlState::CHECK_VIOLATION));
    assert_eq!(set(&recharge, "TRADE_SUCCESS", 0).await, refused);
    assert_eq!(set(&from_balance, "TRADE_SUCCESS", 0).await, refused);
    assert_eq!(set(&from_balance, "TRADE_FAILED", 0).await, Ok(1));
    assert_eq!(store.writer().submit(of_own_trade(&recharge, paid())).await, Ok(FactOutcome::Applied));
    assert_eq!(set(&recharge, "PARTIALLY_REFUNDED", 10).await, refused);
    let refund = FactKind::Refunded { refunded_minor: 10, refunded_at: now() };
    assert_eq!(store.writer().submit(of_own_trade(&recharge, refund)).await, Ok(FactOutcome::Applied));
}
