//! The trial balance: whether all that the ledger promises holds.

use admin_api::trial_balance::{CurrencySum, LedgerFinding, LedgerFindingKind, TrialBalance};
use futures_util::try_join;
use storage::{Error, GenericClient, parsed};
use tokio_postgres::Row;

/// How many findings of one kind are named at most.
const MAX_FINDINGS: i64 = 100;

const CURRENCIES: &str = "
    SELECT currency, count(*) AS entries, sum(amount_minor)::text AS sum_minor,
        coalesce(sum(amount_minor) FILTER (WHERE amount_minor > 0), 0)::text AS given_minor
    FROM ledger.entries GROUP BY currency ORDER BY currency";

/// Both sides come in the order of their keys, and are merged.
const FLOWS: &str = "
    SELECT coalesce((SELECT trans_no FROM ledger.flows n WHERE n.flow_id = u.flow_id), u.flow_id::text) AS subject,
        u.currency, 0::text AS expected_minor, coalesce(u.sum_minor, 0)::text AS found_minor
    FROM (
        SELECT coalesce(f.flow_id, e.flow_id) AS flow_id, e.currency, e.sum_minor
        FROM (SELECT flow_id FROM ledger.flows) f
        FULL JOIN (
            SELECT flow_id, currency, sum(amount_minor) AS sum_minor FROM ledger.entries GROUP BY flow_id, currency
        ) e ON e.flow_id = f.flow_id
        WHERE f.flow_id IS NULL OR e.flow_id IS NULL OR e.sum_minor <> 0
        LIMIT $1
    ) u";

const BALANCES: &str = "
    SELECT a.owner AS subject, a.currency, coalesce(e.sum_minor, 0)::text AS expected_minor,
        a.balance_minor::text AS found_minor
    FROM ledger.accounts a
    LEFT JOIN (
        SELECT owner, currency, sum(amount_minor) AS sum_minor FROM ledger.entries GROUP BY owner, currency
    ) e ON e.owner = a.owner AND e.currency = a.currency
    WHERE a.balance_minor <> coalesce(e.sum_minor, 0)
    LIMIT $1";

/// Reads all entries: whether every flow and every currency sums to zero, and every user's running balance is the sum of its
/// entries. Flows that are posted meanwhile do no harm.
pub async fn trial_balance(client: &impl GenericClient) -> Result<TrialBalance, Error> {
    let [currencies, flows, balances] = [
        client.prepare_cached(CURRENCIES).await?,
        client.prepare_cached(FLOWS).await?,
        client.prepare_cached(BALANCES).await?,
    ];
    let (currencies, flows, balances) = try_join!(
        async { client.query(&currencies, &[]).await },
        async { client.query(&flows, &[&MAX_FINDINGS]).await },
        async { client.query(&balances, &[&MAX_FINDINGS]).await },
    )?;
    let currencies = currencies.iter().map(sum).collect::<Result<Vec<_>, _>>()?;
    let mut findings: Vec<_> = currencies.iter().filter(|of| of.sum_minor != 0).map(unbalanced).collect();
    for row in &flows {
        findings.push(finding(LedgerFindingKind::FlowUnbalanced, row)?);
    }
    for row in &balances {
        findings.push(finding(LedgerFindingKind::BalanceDiffers, row)?);
    }
    Ok(TrialBalance { currencies, findings })
}

fn sum(row: &Row) -> Result<CurrencySum, Error> {
    Ok(CurrencySum {
        currency: row.try_get("currency")?,
        entries: row.try_get("entries")?,
        given_minor: minor(row, "given_minor")?,
        sum_minor: minor(row, "sum_minor")?,
    })
}

fn unbalanced(of: &CurrencySum) -> LedgerFinding {
    LedgerFinding {
        kind: LedgerFindingKind::CurrencyUnbalanced,
        subject: of.currency.clone(),
        currency: Some(of.currency.clone()),
        expected_minor: 0,
        found_minor: of.sum_minor,
    }
}

fn finding(kind: LedgerFindingKind, row: &Row) -> Result<LedgerFinding, Error> {
    Ok(LedgerFinding {
        kind,
        subject: row.try_get("subject")?,
        currency: row.try_get("currency")?,
        expected_minor: minor(row, "expected_minor")?,
        found_minor: minor(row, "found_minor")?,
    })
}

/// A sum, which the database makes wider than an `i64`: what does not fit is cut to the nearest that does.
fn minor(row: &Row, column: &str) -> Result<i64, Error> {
    let sum: i128 = parsed(row, column)?;
    Ok(i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX }))
}
