//! Refunds that channels state one by one: each counts once, by its number.

use events::PayOrderNo;
use storage::{Error, Transaction};

use super::Parsed;
use crate::facts::{Counted, NewRefund};

const COUNTED: &str =
    "SELECT pay_order_no, refund_no, amount_minor FROM pay.refunds WHERE pay_order_no = ANY($1)";

/// The refunds that were counted of these pay orders, which are locked. Without any there is no statement.
pub(crate) async fn counted(tx: &Transaction<'_>, numbers: &[&str]) -> Result<Counted, Error> {
    if numbers.is_empty() {
        return Ok(Counted::new());
    }
    let statement = tx.prepare_cached(COUNTED).await?;
    let rows = tx.query(&statement, &[&numbers]).await?;
    let refund = |row: &tokio_postgres::Row| -> Result<_, Error> {
        let pay_order_no: Parsed<PayOrderNo> = row.try_get("pay_order_no")?;
        Ok(((pay_order_no.0, row.try_get("refund_no")?), row.try_get("amount_minor")?))
    };
    rows.iter().map(refund).collect()
}

const INSERT: &str = "
    INSERT INTO pay.refunds (pay_order_no, refund_no, amount_minor, refunded_at)
    SELECT * FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::timestamptz[])";

/// Inserts refunds that are counted now. Their pay orders are locked, so nobody else inserts them.
pub(crate) async fn insert(tx: &Transaction<'_>, new: &[NewRefund]) -> Result<(), Error> {
    if new.is_empty() {
        return Ok(());
    }
    let numbers: Vec<_> = new.iter().map(|new| new.pay_order_no.as_str()).collect();
    let refund_nos: Vec<_> = new.iter().map(|new| new.refund_no.as_str()).collect();
    let amounts: Vec<_> = new.iter().map(|new| new.amount_minor).collect();
    let refunded_at: Vec<_> = new.iter().map(|new| new.refunded_at).collect();
    let statement = tx.prepare_cached(INSERT).await?;
    tx.execute(&statement, &[&numbers, &refund_nos, &amounts, &refunded_at]).await?;
    Ok(())
}
