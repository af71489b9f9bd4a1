//! Writing flows, in the transaction of the change that they belong to.

mod plan;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::try_join;
use storage::{Error, GenericClient, Transaction, parsed};
use thiserror::Error as ThisError;
use tokio_postgres::Row;

use self::plan::{Content, Plan};
use crate::{Account, Flow, Owner};

/// What became of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// It was written.
    New,
    /// It had been written before, with this content: nothing changes.
    Known,
}

/// Why flows were not posted. Some may have been written: the caller rolls its transaction back.
#[derive(Debug, ThisError)]
pub enum PostError {
    /// A user's account holds less than is to be taken from it.
    #[error("{owner}: {needed_minor} minor units are to be taken, and {balance_minor} are there")]
    Insufficient {
        /// The user.
        owner: Owner,
        /// What is there, after the flows that were posted before in the same call.
        balance_minor: i64,
        /// What is to be taken.
        needed_minor: i64,
    },
    /// A user's account would hold more than an `i64` of minor units.
    #[error("{0}: the balance would exceed 9223372036854775807 minor units")]
    Overflow(Owner),
    /// Another flow has the `trans_no`.
    #[error("{0}: another flow has this trans_no")]
    TransNoTaken(String),
    /// A user has no account in this currency.
    #[error("{0}: there is no such account")]
    NoAccount(Account),
    /// The database fails, or refuses.
    #[error(transparent)]
    Database(#[from] Error),
}

const OPEN: &str = "
    INSERT INTO ledger.accounts (owner, currency, balance_minor)
    SELECT n.owner, n.currency, CASE WHEN starts_with(n.owner, 'user/') THEN 0 END
    FROM UNNEST($1::text[], $2::text[]) AS n (owner, currency)
    ORDER BY n.owner COLLATE \"C\", n.currency COLLATE \"C\"
    ON CONFLICT (owner, currency) DO NOTHING";

/// Opens an account, empty; whether it is new. Users' accounts must be opened before anything is posted to them, all others
/// are opened by their first flow.
pub async fn open_account(tx: &Transaction<'_>, account: &Account) -> Result<bool, Error> {
    let statement = tx.prepare_cached(OPEN).await?;
    let keys = Keys::of([account]);
    Ok(tx.execute(&statement, &[&keys.owners, &keys.currencies]).await? == 1)
}

const LOCK: &str = "
    SELECT owner, currency, balance_minor FROM ledger.accounts
    WHERE (owner, currency) IN (SELECT * FROM UNNEST($1::text[], $2::text[])) AND balance_minor IS NOT NULL
    ORDER BY owner, currency FOR UPDATE";

/// Locks users' accounts until the end of the transaction, in their order, and tells the balances of those that exist. Pay
/// orders are locked before.
pub async fn lock(
    tx: &Transaction<'_>,
    accounts: impl IntoIterator<Item = &Account>,
) -> Result<BTreeMap<Account, i64>, Error> {
    let statement = tx.prepare_cached(LOCK).await?;
    let keys = Keys::of(accounts);
    let rows = tx.query(&statement, &[&keys.owners, &keys.currencies]).await?;
    rows.iter().map(balance).collect()
}

const KNOWN: &str = "
    SELECT f.trans_no, f.kind, f.pay_order_no, e.owner, e.currency, e.amount_minor
    FROM ledger.flows f JOIN ledger.entries e ON e.flow_id = f.flow_id WHERE f.trans_no = ANY($1)";

/// Whether another transaction is just taking a `trans_no` is the unique index's to say.
const INSERT: &str = "
    WITH flow AS (
        INSERT INTO ledger.flows (trans_no, kind, pay_order_no, occurred_at)
        SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::timestamptz[])
        RETURNING flow_id, trans_no
    )
    INSERT INTO ledger.entries (flow_id, owner, currency, amount_minor, balance_minor)
    SELECT flow.flow_id, n.owner, n.currency, n.amount_minor, n.balance_minor
    FROM UNNEST($5::text[], $6::text[], $7::text[], $8::bigint[], $9::bigint[])
        AS n (trans_no, owner, currency, amount_minor, balance_minor)
    JOIN flow ON flow.trans_no = n.trans_no";

const SET_BALANCES: &str = "
    UPDATE ledger.accounts a SET balance_minor = n.balance_minor
    FROM UNNEST($1::text[], $2::text[], $3::bigint[]) AS n (owner, currency, balance_minor)
    WHERE a.owner = n.owner AND a.currency = n.currency";

/// Posts flows, in their order, and says of each what became of it. After an error the caller rolls back: some may have been
/// written. Locks the accounts of users, and opens those of others; pay orders are locked before.
///
/// Of two transactions that post the same `trans_no` at the same moment, the second waits for the first and then fails by the
/// constraint `flows_trans_no`: repeated, it finds the flow.
pub async fn post(tx: &Transaction<'_>, flows: &[Flow]) -> Result<Vec<Posted>, PostError> {
    if flows.is_empty() {
        return Ok(Vec::new());
    }
    let (balances, known) = look_up(tx, flows).await?;
    let plan = Plan::make(flows, balances, known)?;
    if !plan.new.is_empty() {
        try_join!(insert(tx, &plan), set_balances(tx, &plan.balances))?;
    }
    Ok(plan.posted)
}

/// The balances of the users, locked, and what is posted already of these flows.
async fn look_up(
    tx: &Transaction<'_>,
    flows: &[Flow],
) -> Result<(BTreeMap<Account, i64>, HashMap<String, Content>), Error> {
    let accounts: BTreeSet<_> =
        flows.iter().flat_map(|flow| flow.entries.amounts()).map(|(account, _)| account).collect();
    let (users, others): (Vec<_>, Vec<_>) = accounts.iter().partition(|account| account.owner.is_user());
    let (users, others) = (Keys::of(users), Keys::of(others));
    let numbers: Vec<_> = flows.iter().map(|flow| flow.trans_no.as_str()).collect();
    // Prepared before any of them is sent: then they travel together and run in this order, and what is known is read
    // after the accounts are locked.
    let [open, lock, known] =
        [tx.prepare_cached(OPEN).await?, tx.prepare_cached(LOCK).await?, tx.prepare_cached(KNOWN).await?];
    let (_, balances, known) = try_join!(
        async { tx.execute(&open, &[&others.owners, &others.currencies]).await },
        async { tx.query(&lock, &[&users.owners, &users.currencies]).await },
        async { tx.query(&known, &[&numbers]).await },
    )?;
    let mut contents: HashMap<String, Content> = HashMap::new();
    for row in &known {
        let (kind, number) = (parsed(row, "kind")?, parsed(row, "pay_order_no")?);
        let content = contents.entry(row.try_get("trans_no")?).or_insert_with(|| Content::new(kind, number));
        content.amounts.insert(account(row)?, row.try_get("amount_minor")?);
    }
    let balances = balances.iter().map(balance).collect::<Result<_, _>>()?;
    Ok((balances, contents))
}

async fn insert(tx: &Transaction<'_>, plan: &Plan<'_>) -> Result<(), Error> {
    let trans_nos: Vec<_> = plan.new.iter().map(|flow| flow.trans_no.as_str()).collect();
    let kinds: Vec<_> = plan.new.iter().map(|flow| flow.kind.as_str()).collect();
    let numbers: Vec<_> = plan.new.iter().map(|flow| flow.pay_order_no.as_str()).collect();
    let times: Vec<_> = plan.new.iter().map(|flow| flow.occurred_at).collect();
    let of: Vec<_> = plan.entries.iter().map(|entry| entry.trans_no).collect();
    let keys = Keys::of(plan.entries.iter().map(|entry| &entry.account));
    let amounts: Vec<_> = plan.entries.iter().map(|entry| entry.amount_minor).collect();
    let balances: Vec<_> = plan.entries.iter().map(|entry| entry.balance_minor).collect();
    let statement = tx.prepare_cached(INSERT).await?;
    tx.execute(
        &statement,
        &[&trans_nos, &kinds, &numbers, &times, &of, &keys.owners, &keys.currencies, &amounts, &balances],
    )
    .await?;
    Ok(())
}

async fn set_balances(tx: &Transaction<'_>, balances: &BTreeMap<Account, i64>) -> Result<(), Error> {
    let keys = Keys::of(balances.keys());
    let amounts: Vec<_> = balances.values().copied().collect();
    let statement = tx.prepare_cached(SET_BALANCES).await?;
    tx.execute(&statement, &[&keys.owners, &keys.currencies, &amounts]).await?;
    Ok(())
}

/// Accounts as columns of a statement.
struct Keys {
    owners: Vec<String>,
    currencies: Vec<&'static str>,
}

impl Keys {
    fn of<'a>(accounts: impl IntoIterator<Item = &'a Account>) -> Self {
        let (owners, currencies) =
            accounts.into_iter().map(|account| (account.owner.to_string(), account.currency.code())).unzip();
        Self { owners, currencies }
    }
}

fn account(row: &Row) -> Result<Account, Error> {
    Ok(Account { owner: parsed(row, "owner")?, currency: parsed(row, "currency")? })
}

fn balance(row: &Row) -> Result<(Account, i64), Error> {
    Ok((account(row)?, row.try_get("balance_minor")?))
}
