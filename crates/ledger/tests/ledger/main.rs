//! The ledger against a real PostgreSQL, in the schema that the ingress makes.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod guards;
mod posting;
mod properties;
mod trial;

use devstack::testing::{self, Twinned};
use events::{ChannelAccount, Currency, MerchantId, Money, PayOrderNo, UserId};
use ledger::{Account, Entries, Flow, FlowKind, Owner, PostError, Posted};
use storage::{Client, Database};
use time::macros::datetime;

const SCHEMA: &str = include_str!("../../../ingress/migrations/V4__ledger.sql");

/// A fresh database with an empty ledger. The pool must be dropped first, so it comes first.
struct Books {
    database: Database,
    server: testing::Database,
}

/// What came of a transaction of a test.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Post(#[from] PostError),
    #[error(transparent)]
    Store(#[from] storage::Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Books {
    async fn open(users: &[&str]) -> Self {
        let server = testing::Database::create();
        let database = Database::connect(server.url(), "ledger tests", 8).unwrap();
        let books = Self { database, server };
        books.client().await.batch_execute(SCHEMA).await.unwrap();
        // Beside each account the same of another merchant; the server refuses every change of it.
        let accounts = Twinned { table: "ledger.accounts", merchant: "owner", differs: "'{}'" };
        testing::add_twins(books.server.url(), &[accounts]);
        for user_id in users {
            books.open_account(&cny(user(user_id))).await;
        }
        books
    }

    async fn client(&self) -> Client {
        self.database.client().await.unwrap()
    }

    async fn open_account(&self, account: &Account) -> bool {
        let opened =
            self.database.transaction(|tx| Box::pin(async move { ledger::open_account(&tx, account).await }));
        opened.await.unwrap()
    }

    /// Posts in a transaction of its own.
    async fn post(&self, flows: &[Flow]) -> Result<Vec<Posted>, Failure> {
        self.database.transaction(|tx| Box::pin(async move { Ok(ledger::post(&tx, flows).await?) })).await
    }

    /// What the owner has in CNY.
    async fn balance(&self, owner: Owner) -> Option<i64> {
        let held = ledger::balance(&self.client().await, &cny(owner)).await.unwrap();
        held.map(|held| held.balance_minor)
    }

    async fn count(&self, what: &str) -> i64 {
        self.client().await.query_one(&format!("SELECT count(*) FROM {what}"), &[]).await.unwrap().get(0)
    }
}

fn currency() -> Currency {
    Currency::parse("CNY").unwrap()
}

fn cny(owner: Owner) -> Account {
    Account { owner, currency: currency() }
}

fn merchant_id() -> MerchantId {
    MerchantId::parse("m1").unwrap()
}

fn user(user_id: &str) -> Owner {
    Owner::User { merchant_id: merchant_id(), user_id: UserId::parse(user_id).unwrap() }
}

fn channel() -> Owner {
    Owner::Channel(ChannelAccount::parse("gateway_main").unwrap())
}

fn merchant() -> Owner {
    Owner::Merchant(merchant_id())
}

fn flow(trans_no: &str, kind: FlowKind, entries: Entries) -> Flow {
    Flow {
        trans_no: trans_no.to_owned(),
        kind,
        pay_order_no: PayOrderNo::parse(format!("P-{trans_no}")).unwrap(),
        occurred_at: datetime!(2026-01-01 00:00 UTC),
        entries,
    }
}

fn transfer(amount_minor: i64, from: Owner, to: Owner) -> Entries {
    Entries::transfer(Money::new(amount_minor, currency()), from, to).unwrap()
}

/// From the channel to the user.
fn recharge(trans_no: &str, user_id: &str, amount_minor: i64) -> Flow {
    flow(trans_no, FlowKind::Recharge, transfer(amount_minor, channel(), user(user_id)))
}

/// From the user to the merchant.
fn payment(trans_no: &str, user_id: &str, amount_minor: i64) -> Flow {
    flow(trans_no, FlowKind::BalancePayment, transfer(amount_minor, user(user_id), merchant()))
}
