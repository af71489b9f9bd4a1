//! What the trial balance finds, once the guards are off.

use std::time::Instant;

use admin_api::trial_balance::{CurrencySum, LedgerFindingKind};

use crate::{Books, payment, recharge};

/// What the superuser may do: no trigger fires.
async fn tamper(books: &Books, statements: &str) {
    let tampered =
        format!("SET session_replication_role = replica; {statements}; RESET session_replication_role");
    books.client().await.batch_execute(&tampered).await.unwrap();
}

/// Kind, subject, expected and found of every finding.
async fn findings(books: &Books) -> Vec<(LedgerFindingKind, String, i64, i64)> {
    let trial = ledger::trial_balance(&books.client().await).await.unwrap();
    trial
        .findings
        .into_iter()
        .map(|found| (found.kind, found.subject, found.expected_minor, found.found_minor))
        .collect()
}

#[tokio::test]
async fn sound_books_have_no_finding() {
    let books = Books::open(&["u1"]).await;
    assert_eq!(ledger::trial_balance(&books.client().await).await.unwrap().currencies, []);
    books.post(&[recharge("T1", "u1", 100), payment("P1", "u1", 30)]).await.unwrap();
    let trial = ledger::trial_balance(&books.client().await).await.unwrap();
    let all = CurrencySum { currency: "CNY".to_owned(), entries: 4, given_minor: 130, sum_minor: 0 };
    assert_eq!((trial.currencies, trial.findings), (vec![all], vec![]));
}

#[tokio::test]
async fn whatever_is_tampered_with_is_found() {
    let books = Books::open(&["u1", "u2"]).await;
    books.post(&[recharge("T1", "u1", 100), recharge("T2", "u2", 70)]).await.unwrap();
    tamper(&books, "UPDATE ledger.accounts SET balance_minor = 170 WHERE owner = 'user/m1/u2'").await;
    assert_eq!(
        findings(&books).await,
        [(LedgerFindingKind::BalanceDiffers, "user/m1/u2".to_owned(), 70, 170)]
    );
    tamper(&books, "UPDATE ledger.accounts SET balance_minor = 70 WHERE owner = 'user/m1/u2'").await;

    tamper(&books, "UPDATE ledger.entries SET amount_minor = -99 WHERE amount_minor = -100").await;
    let unbalanced = (LedgerFindingKind::FlowUnbalanced, "T1".to_owned(), 0, 1);
    assert_eq!(
        findings(&books).await,
        [(LedgerFindingKind::CurrencyUnbalanced, "CNY".to_owned(), 0, 1), unbalanced]
    );
    tamper(&books, "UPDATE ledger.entries SET amount_minor = -100 WHERE amount_minor = -99").await;

    tamper(&books, "DELETE FROM ledger.entries WHERE abs(amount_minor) = 70").await;
    let without_entries = (LedgerFindingKind::FlowUnbalanced, "T2".to_owned(), 0, 0);
    assert_eq!(
        findings(&books).await,
        [without_entries, (LedgerFindingKind::BalanceDiffers, "user/m1/u2".to_owned(), 0, 70)]
    );
    tamper(&books, "DELETE FROM ledger.flows").await;
    assert_eq!(findings(&books).await.len(), 2, "entries of no flow, and the balance");
}

/// A million flows of ten thousand users.
const FILL: &str = "
    INSERT INTO ledger.accounts (owner, currency, balance_minor)
    SELECT 'user/m1/u' || n, 'CNY', 100 FROM generate_series(1, 10000) n;
    INSERT INTO ledger.accounts (owner, currency) VALUES ('channel/gateway_main', 'CNY');
    INSERT INTO ledger.flows (trans_no, kind, pay_order_no, occurred_at)
    SELECT 'gateway_main/T' || n, 'recharge', 'P' || n, now() FROM generate_series(1, 1000000) n;
    INSERT INTO ledger.entries SELECT flow_id, 'user/m1/u' || (1 + flow_id % 10000), 'CNY', 1, 1 FROM ledger.flows;
    INSERT INTO ledger.entries SELECT flow_id, 'channel/gateway_main', 'CNY', -1, NULL FROM ledger.flows";

/// `cargo test -p ledger --test ledger a_million -- --ignored --nocapture` tells how long it takes.
#[tokio::test]
#[ignore = "a measurement of half a minute"]
async fn a_million_flows_are_checked_within_a_statement_timeout() {
    let books = Books::open(&[]).await;
    books.client().await.batch_execute("SET statement_timeout = 0").await.unwrap();
    tamper(&books, FILL).await;
    let client = books.client().await;
    for vacuumed in [false, true] {
        let began = Instant::now();
        let trial = ledger::trial_balance(&client).await.unwrap();
        let (took, sums) = (began.elapsed(), trial.currencies);
        assert_eq!((sums[0].entries, trial.findings.len()), (2_000_000, 0));
        #[expect(clippy::print_stderr, reason = "it is what one runs it for")]
        {
            eprintln!("vacuumed: {vacuumed}, {took:?}");
        }
        client.batch_execute("VACUUM ANALYZE ledger.entries, ledger.flows, ledger.accounts").await.unwrap();
    }
}
