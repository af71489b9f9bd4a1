//! Recharges where two writers meet, which no request can make sure of.

use admin_api::audit::Span;
use events::ContradictionReason;
use futures_util::future::join_all;

use super::credits::recharge_of;
use super::*;
use crate::store::recharges;

/// A recharge of a user of its own, with an account.
async fn recharge(store: &Store, recharge_no: &str) -> StoredPayOrder {
    recharge_of(store, recharge_no, recharge_no).await
}

fn today() -> Span {
    Span { from: now() - Duration::hours(12), to: now() + Duration::hours(12) }
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
        let applied = written.iter().filter(|outcome| **outcome == Ok(FactOutcome::Applied)).count();
        let reused = Ok(FactOutcome::Contradiction(ContradictionReason::TradeReused));
        let contradicted = written.iter().filter(|outcome| **outcome == reused).count();
        assert_eq!((applied, contradicted), (1, 2), "{written:?}");
    }
    assert_eq!(store.count("ledger.flows").await, 30);
    assert_eq!(store.count("pay.contradictions").await, 60);
    assert_eq!(recharges::differing(&store.client().await, today()).await.unwrap(), []);
}

#[tokio::test]
async fn a_number_names_the_recharge_of_its_merchant() {
    let store = Store::create().await;
    let made = recharge(&store, "R1").await;
    let client = store.client().await;
    let number = "R1".parse().unwrap();
    let found = recharges::find(&client, &made.order.merchant_id, &number).await.unwrap().unwrap();
    assert_eq!(found.pay_order, made);
    let stranger = MerchantId::parse("m2").unwrap();
    assert_eq!(recharges::find(&client, &stranger, &number).await.unwrap(), None);
}

/// A million recharges of ten thousand users, paid; every tenth is refunded in part.
const FILL: &str = "
    SET session_replication_role = replica;
    INSERT INTO ledger.accounts (owner, currency, balance_minor)
    SELECT 'user/m1/u' || n, 'CNY', 0 FROM generate_series(1, 10000) n;
    INSERT INTO ledger.accounts (owner, currency) VALUES ('channel/gateway_main', 'CNY');
    INSERT INTO pay.pay_orders (pay_order_no, merchant_id, order_no, purpose, amount_minor, currency, channel, status, active,
        version, refunded_minor, paid_at, created_at, expires_at, payable_until)
    SELECT 'P' || lpad(to_hex(n), 32, '0'), 'm1', 'recharge:P' || lpad(to_hex(n), 32, '0'), 'RECHARGE', 100, 'CNY', 'gateway_main',
        CASE WHEN n % 10 = 0 THEN 'PARTIALLY_REFUNDED' ELSE 'TRADE_SUCCESS' END, true, 2,
        CASE WHEN n % 10 = 0 THEN 1 ELSE 0 END, now(), now(), now(), now()
    FROM generate_series(1, 1000000) n;
    INSERT INTO pay.recharges SELECT 'm1', 'R' || n, 'P' || lpad(to_hex(n), 32, '0'), 'u' || (1 + n % 10000) FROM generate_series(1, 1000000) n;
    INSERT INTO ledger.flows (trans_no, kind, pay_order_no, occurred_at)
    SELECT 'gateway_main/T' || n, 'recharge', 'P' || lpad(to_hex(n), 32, '0'), now() FROM generate_series(1, 1000000) n;
    INSERT INTO ledger.flows (trans_no, kind, pay_order_no, occurred_at)
    SELECT 'P' || lpad(to_hex(n), 32, '0') || ':refunded:1', 'recharge_refund', 'P' || lpad(to_hex(n), 32, '0'), now() FROM generate_series(10, 1000000, 10) n;
    INSERT INTO ledger.entries SELECT flow_id, 'user/m1/u' || (1 + flow_id % 10000), 'CNY',
        CASE kind WHEN 'recharge' THEN 100 ELSE -1 END, 1 FROM ledger.flows;
    INSERT INTO ledger.entries SELECT flow_id, 'channel/gateway_main', 'CNY',
        CASE kind WHEN 'recharge' THEN -100 ELSE 1 END, NULL FROM ledger.flows;
    RESET session_replication_role";

/// `cargo test -p ingress --lib a_million -- --ignored --nocapture` tells how long it takes.
#[tokio::test]
#[ignore = "a measurement of a minute"]
async fn a_million_recharges_are_checked_within_a_statement_timeout() {
    let store = Store::create().await;
    let client = store.client().await;
    client.batch_execute("SET statement_timeout = 0").await.unwrap();
    client.batch_execute(FILL).await.unwrap();
    client.batch_execute("SET statement_timeout = '30s'").await.unwrap();
    for vacuumed in [false, true] {
        let began = std::time::Instant::now();
        assert_eq!(recharges::differing(&client, today()).await.unwrap(), []);
        #[expect(clippy::print_stderr, reason = "it is what one runs it for")]
        {
            eprintln!("vacuumed: {vacuumed}, {:?}", began.elapsed());
        }
        client
            .batch_execute("VACUUM ANALYZE ledger.entries, ledger.flows, pay.pay_orders, pay.recharges")
            .await
            .unwrap();
    }
}
