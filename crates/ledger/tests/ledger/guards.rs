//! What the database refuses, whoever asks for it.

use tokio_postgres::error::SqlState;

use crate::{Books, recharge};

/// The SQLSTATE with which these statements, in one transaction, are refused.
async fn refused(books: &Books, statements: &str) -> SqlState {
    let client = books.client().await;
    let done = client.batch_execute(&format!("BEGIN; {statements}; COMMIT")).await;
    let error = done.expect_err(statements);
    let state = error.code().unwrap_or_else(|| panic!("{error}")).clone();
    client.batch_execute("ROLLBACK").await.unwrap();
    state
}

const FLOW: &str = "INSERT INTO ledger.flows (trans_no, kind, pay_order_no, occurred_at) VALUES ('X', 'recharge', 'P', now())";
const ENTRY: &str = "INSERT INTO ledger.entries (flow_id, owner, currency, amount_minor, balance_minor) ";

#[tokio::test]
async fn what_is_written_stands() {
    let books = Books::open(&["u1"]).await;
    books.post(&[recharge("T1", "u1", 10)]).await.unwrap();
    for statement in [
        "UPDATE ledger.entries SET amount_minor = amount_minor * 2",
        "DELETE FROM ledger.entries",
        "TRUNCATE ledger.entries",
        "UPDATE ledger.flows SET trans_no = 'T2'",
        "DELETE FROM ledger.flows WHERE trans_no = 'T1'",
        "TRUNCATE ledger.flows, ledger.entries",
        "DELETE FROM ledger.accounts",
        "UPDATE ledger.accounts SET currency = 'USD'",
    ] {
        assert_eq!(refused(&books, statement).await, SqlState::INTEGRITY_CONSTRAINT_VIOLATION, "{statement}");
    }
    assert_eq!((books.count("ledger.flows").await, books.count("ledger.entries").await), (1, 2));
}

#[tokio::test]
async fn what_does_not_balance_is_not_committed() {
    let books = Books::open(&["u1", "u2"]).await;
    books.post(&[recharge("T1", "u1", 10)]).await.unwrap();
    let id = "(SELECT max(flow_id) FROM ledger.flows)";
    let to =
        |owner: &str, amount: i64, balance: &str| format!("({id}, '{owner}', 'CNY', {amount}, {balance})");
    let (user, channel) = (to("user/m1/u1", 5, "15"), to("channel/gateway_main", -5, "NULL"));
    let check = SqlState::CHECK_VIOLATION;
    assert_eq!(refused(&books, FLOW).await, check, "no entries");
    assert_eq!(refused(&books, &format!("{FLOW}; {ENTRY} VALUES {user}")).await, check, "one entry");
    let uneven = to("channel/gateway_main", -4, "NULL");
    assert_eq!(refused(&books, &format!("{FLOW}; {ENTRY} VALUES {user}, {uneven}")).await, check);
    let late = format!("{ENTRY} VALUES {}", to("user/m1/u2", 5, "5"));
    assert_eq!(refused(&books, &late).await, check, "one more entry of an old flow");
    let dollars = user.replace("CNY", "USD");
    let foreign = SqlState::FOREIGN_KEY_VIOLATION;
    assert_eq!(refused(&books, &format!("{FLOW}; {ENTRY} VALUES {dollars}, {channel}")).await, foreign);
    let unknown = to("user/m1/nobody", 5, "5");
    assert_eq!(refused(&books, &format!("{FLOW}; {ENTRY} VALUES {unknown}, {channel}")).await, foreign);
    let nowhere = format!(
        "{ENTRY} VALUES (0, 'user/m1/u1', 'CNY', 5, 15), (0, 'channel/gateway_main', 'CNY', -5, NULL)"
    );
    assert_eq!(refused(&books, &nowhere).await, foreign);
    let nothing = format!("{FLOW}; {ENTRY} VALUES {}, {channel}", to("user/m1/u1", 0, "10"));
    assert_eq!(refused(&books, &nothing).await, check);
    assert_eq!((books.count("ledger.flows").await, books.count("ledger.entries").await), (1, 2));

    // In two statements, for it is looked at when the transaction commits.
    let sound = format!("BEGIN; {FLOW}; {ENTRY} VALUES {user}; {ENTRY} VALUES {channel}; COMMIT");
    books.client().await.batch_execute(&sound).await.unwrap();
    assert_eq!(books.count("ledger.entries").await, 4);
}

#[tokio::test]
async fn no_balance_of_a_user_is_negative_and_nobody_else_keeps_one() {
    let books = Books::open(&["u1"]).await;
    for statement in [
        "UPDATE ledger.accounts SET balance_minor = -1 WHERE owner = 'user/m1/u1'",
        "UPDATE ledger.accounts SET balance_minor = NULL WHERE owner = 'user/m1/u1'",
        "INSERT INTO ledger.accounts (owner, currency, balance_minor) VALUES ('merchant/m1', 'CNY', 0)",
        "INSERT INTO ledger.accounts (owner, currency) VALUES ('bank/b', 'CNY')",
    ] {
        assert_eq!(refused(&books, statement).await, SqlState::CHECK_VIOLATION, "{statement}");
    }
}
