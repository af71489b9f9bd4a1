//! What accounts hold, and how it came there.

use std::collections::BTreeMap;

use events::{Currency, PayOrderNo};
use storage::{Error, GenericClient, parsed};
use time::OffsetDateTime;
use tokio_postgres::Row;

use crate::{Account, FlowKind, Owner};

/// What an account holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// In which currency.
    pub currency: Currency,
    /// How many minor units: above zero they are owed to the owner.
    pub balance_minor: i64,
    /// Since when there is the account.
    pub opened_at: OffsetDateTime,
}

/// A flow as one of its accounts sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFlow {
    /// Grows with every flow of the account; the cursor of [`flows`].
    pub flow_id: i64,
    /// What it is known by.
    pub trans_no: String,
    /// Why money moved.
    pub kind: FlowKind,
    /// The pay order that it belongs to.
    pub pay_order_no: PayOrderNo,
    /// What was added to the account, below zero taken from it.
    pub amount_minor: i64,
    /// What a user's account held afterwards; `None` for all others.
    pub balance_minor: Option<i64>,
    /// When.
    pub occurred_at: OffsetDateTime,
}

/// Only users keep a balance: all others are sums.
const BALANCES: &str = "
    SELECT a.currency, a.opened_at,
        coalesce(a.balance_minor, (SELECT sum(e.amount_minor)::bigint FROM ledger.entries e
                                   WHERE e.owner = a.owner AND e.currency = a.currency), 0) AS balance_minor
    FROM ledger.accounts a
    WHERE a.owner = $1 AND ($2::text IS NULL OR a.currency = $2)
    ORDER BY a.currency";

/// What an account holds; `None` if there is none. Of others than users this sums all their entries.
pub async fn balance(client: &impl GenericClient, account: &Account) -> Result<Option<Balance>, Error> {
    let statement = client.prepare_cached(BALANCES).await?;
    let row =
        client.query_opt(&statement, &[&account.owner.to_string(), &Some(account.currency.code())]).await?;
    row.as_ref().map(held).transpose()
}

/// What all accounts of an owner hold, by currency.
pub async fn balances(client: &impl GenericClient, owner: &Owner) -> Result<Vec<Balance>, Error> {
    let statement = client.prepare_cached(BALANCES).await?;
    let rows = client.query(&statement, &[&owner.to_string(), &None::<&str>]).await?;
    rows.iter().map(held).collect()
}

fn held(row: &Row) -> Result<Balance, Error> {
    Ok(Balance {
        currency: parsed(row, "currency")?,
        balance_minor: row.try_get("balance_minor")?,
        opened_at: row.try_get("opened_at")?,
    })
}

const MOVED: &str = "
    SELECT e.amount_minor FROM ledger.entries e
    WHERE e.flow_id = (SELECT flow_id FROM ledger.flows WHERE trans_no = $1) AND e.owner = $2 AND e.currency = $3";

/// What a flow has added to an account, below zero taken from it; `None` if there is no such flow, or it is none of this
/// account's.
pub async fn moved(
    client: &impl GenericClient,
    trans_no: &str,
    account: &Account,
) -> Result<Option<i64>, Error> {
    let statement = client.prepare_cached(MOVED).await?;
    let (owner, currency) = (account.owner.to_string(), account.currency.code());
    let row = client.query_opt(&statement, &[&trans_no, &owner, &currency]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

const PAY_ORDERS: &str = "SELECT trans_no, pay_order_no FROM ledger.flows WHERE trans_no = ANY($1)";

/// The pay orders of those of these flows that are posted, by `trans_no`.
pub async fn pay_orders_of(
    client: &impl GenericClient,
    trans_nos: &[String],
) -> Result<BTreeMap<String, PayOrderNo>, Error> {
    let statement = client.prepare_cached(PAY_ORDERS).await?;
    let rows = client.query(&statement, &[&trans_nos]).await?;
    rows.iter().map(|row| Ok((row.try_get("trans_no")?, parsed(row, "pay_order_no")?))).collect()
}

const FLOWS: &str = "
    SELECT e.flow_id, f.trans_no, f.kind, f.pay_order_no, e.amount_minor, e.balance_minor, f.occurred_at
    FROM ledger.entries e JOIN ledger.flows f ON f.flow_id = e.flow_id
    WHERE e.owner = $1 AND e.currency = $2 AND e.flow_id < $3
    ORDER BY e.flow_id DESC LIMIT $4";

/// Up to `limit` flows of an account, the latest first: all, or those before the flow `before`.
pub async fn flows(
    client: &impl GenericClient,
    account: &Account,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<AccountFlow>, Error> {
    let statement = client.prepare_cached(FLOWS).await?;
    let (owner, currency) = (account.owner.to_string(), account.currency.code());
    let rows = client.query(&statement, &[&owner, &currency, &before.unwrap_or(i64::MAX), &limit]).await?;
    rows.iter().map(flow).collect()
}

fn flow(row: &Row) -> Result<AccountFlow, Error> {
    Ok(AccountFlow {
        flow_id: row.try_get("flow_id")?,
        trans_no: row.try_get("trans_no")?,
        kind: parsed(row, "kind")?,
        pay_order_no: parsed(row, "pay_order_no")?,
        amount_minor: row.try_get("amount_minor")?,
        balance_minor: row.try_get("balance_minor")?,
        occurred_at: row.try_get("occurred_at")?,
    })
}
