//! The orders that a batch of messages is applied to: locked, changed, split, noted.

use std::collections::{BTreeMap, BTreeSet};

use events::{PayOrderNo, Status};
use storage::{Error, Transaction};
use time::OffsetDateTime;
use tokio_postgres::{Row, types::Json};

use super::{orders, parsed};
use crate::decide::{Notes, OrderState};
use crate::order::{Item, OrderKey};
use crate::split::SubOrder;

/// Locks in one order everywhere, so that two batches wait for one another instead of deadlocking. The items are read
/// only where a split may still come.
const LOCK: &str = "
    SELECT merchant_id, order_no, status, amount_minor, currency, refunded_minor,
        pay_order_no, channel_trade_no, paid_at, version,
        CASE WHEN status = 'AWAITING_PAYMENT' THEN items ELSE '[]' END AS items
    FROM orders.orders
    WHERE (order_no, merchant_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
    ORDER BY merchant_id, order_no
    FOR UPDATE";

const NOTES: &str = "
    SELECT merchant_id, order_no, nullif(pay_order_no, '') AS pay_order_no, status, occurred_at
    FROM orders.payments
    WHERE (order_no, merchant_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))";

const UPDATE: &str = "
    UPDATE orders.orders o
    SET status = u.status, refunded_minor = u.refunded_minor, pay_order_no = u.pay_order_no,
        channel_trade_no = u.channel_trade_no, paid_at = u.paid_at, version = u.version,
        marked_paid_at = CASE WHEN u.status IN ('PAID', 'PARTIALLY_REFUNDED', 'REFUNDED')
                              THEN coalesce(o.marked_paid_at, now()) END
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::timestamptz[], $8::bigint[])
        AS u (order_no, merchant_id, status, refunded_minor, pay_order_no, channel_trade_no, paid_at, version)
    WHERE o.order_no = u.order_no AND o.merchant_id = u.merchant_id";

const INSERT_SUB_ORDERS: &str = "
    INSERT INTO orders.sub_orders (order_no, merchant_id, seq, shop_id, warehouse_id, amount_minor, items)
    SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[], $6::bigint[], $7::jsonb[])";

const INSERT_NOTES: &str = "
    INSERT INTO orders.payments (order_no, merchant_id, pay_order_no, status, occurred_at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])";

/// An order under lock.
#[derive(Debug)]
pub struct Locked {
    /// What decisions look at. Its notes are empty unless they were asked for.
    pub state: OrderState,
    /// Its lines while it awaits payment, empty afterwards.
    pub items: Vec<Item>,
}

/// A note that a message adds to an order.
#[derive(Debug)]
pub struct NewNote<'a> {
    /// The order.
    pub key: &'a OrderKey,
    /// The pay order that came to nothing; `None` in a bare order number.
    pub pay_order_no: Option<&'a PayOrderNo>,
    /// What became of it.
    pub status: Status,
    /// When, by the event.
    pub occurred_at: Option<OffsetDateTime>,
}

/// Locks the orders of these names; those that do not exist are missing in the answer. The notes on them are read if
/// `with_notes`: only failures and closes look at them.
///
/// # Panics
/// When the statement finds what was not asked for.
pub async fn lock(
    tx: &Transaction<'_>,
    keys: &BTreeSet<OrderKey>,
    with_notes: bool,
) -> Result<BTreeMap<OrderKey, Locked>, Error> {
    let (order_nos, merchant_ids) = key_columns(keys);
    let lock = tx.prepare_cached(LOCK).await?;
    let rows = tx.query(&lock, &[&order_nos, &merchant_ids]).await?;
    let mut orders: BTreeMap<_, _> = rows.iter().map(locked).collect::<Result<_, Error>>()?;
    assert!(orders.keys().all(|key| keys.contains(key)), "only what was asked for is locked");
    if with_notes {
        let notes = tx.prepare_cached(NOTES).await?;
        for row in tx.query(&notes, &[&order_nos, &merchant_ids]).await? {
            let key = key(&row)?;
            assert!(keys.contains(&key), "only notes on what was asked for are read");
            if let Some(order) = orders.get_mut(&key) {
                let pay_order_no: Option<super::Parsed<PayOrderNo>> = row.try_get("pay_order_no")?;
                let note = (pay_order_no.map(|number| number.0), parsed(&row, "status")?);
                order.state.notes.insert(note, row.try_get("occurred_at")?);
            }
        }
    }
    Ok(orders)
}

/// Writes the final states of locked orders, sorted by key, each key once.
pub async fn update(tx: &Transaction<'_>, changes: &[(&OrderKey, &OrderState)]) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let (order_nos, merchant_ids) = key_columns(changes.iter().map(|(key, _)| *key));
    let statuses = column(changes, |(_, state)| state.status.as_str());
    let refunded = column(changes, |(_, state)| state.refunded_minor);
    let payments = column(changes, |(_, state)| state.payment.as_ref());
    let pay_order_nos = column(&payments, |payment| payment.map(|payment| payment.pay_order_no.as_str()));
    let trade_nos =
        column(&payments, |payment| payment.and_then(|payment| payment.channel_trade_no.as_deref()));
    let paid_ats = column(&payments, |payment| payment.map(|payment| payment.paid_at));
    let versions = column(changes, |(_, state)| state.version);
    let update = tx.prepare_cached(UPDATE).await?;
    tx.execute(
        &update,
        &[&order_nos, &merchant_ids, &statuses, &refunded, &pay_order_nos, &trade_nos, &paid_ats, &versions],
    )
    .await?;
    Ok(())
}

/// Writes the parts of orders that are paid for the first time. A second split of one order violates the primary key.
pub async fn insert_sub_orders(tx: &Transaction<'_>, parts: &[(&OrderKey, SubOrder)]) -> Result<(), Error> {
    if parts.is_empty() {
        return Ok(());
    }
    let (order_nos, merchant_ids) = key_columns(parts.iter().map(|(key, _)| *key));
    let seqs = column(parts, |(_, part)| part.seq);
    let shops = column(parts, |(_, part)| part.shop_id.as_str());
    let warehouses = column(parts, |(_, part)| part.warehouse_id.as_str());
    let amounts = column(parts, |(_, part)| part.amount_minor);
    let items = column(parts, |(_, part)| Json(&part.items));
    let insert = tx.prepare_cached(INSERT_SUB_ORDERS).await?;
    tx.execute(&insert, &[&order_nos, &merchant_ids, &seqs, &shops, &warehouses, &amounts, &items]).await?;
    Ok(())
}

/// Writes new notes on locked orders, each once.
pub async fn insert_notes(tx: &Transaction<'_>, notes: &[NewNote<'_>]) -> Result<(), Error> {
    if notes.is_empty() {
        return Ok(());
    }
    let (order_nos, merchant_ids) = key_columns(notes.iter().map(|note| note.key));
    let pay_order_nos = column(notes, |note| note.pay_order_no.map_or("", PayOrderNo::as_str));
    let statuses = column(notes, |note| note.status.as_str());
    let times = column(notes, |note| note.occurred_at);
    let insert = tx.prepare_cached(INSERT_NOTES).await?;
    tx.execute(&insert, &[&order_nos, &merchant_ids, &pay_order_nos, &statuses, &times]).await?;
    Ok(())
}

fn locked(row: &Row) -> Result<(OrderKey, Locked), Error> {
    let state = OrderState {
        status: parsed(row, "status")?,
        amount: orders::amount(row)?,
        refunded_minor: row.try_get("refunded_minor")?,
        payment: orders::payment(row)?,
        notes: Notes::new(),
        version: row.try_get("version")?,
    };
    Ok((key(row)?, Locked { state, items: row.try_get::<_, Json<_>>("items")?.0 }))
}

fn key(row: &Row) -> Result<OrderKey, Error> {
    Ok(OrderKey { merchant_id: parsed(row, "merchant_id")?, order_no: parsed(row, "order_no")? })
}

fn key_columns<'a>(keys: impl IntoIterator<Item = &'a OrderKey>) -> (Vec<&'a str>, Vec<&'a str>) {
    keys.into_iter().map(|key| (key.order_no.as_str(), key.merchant_id.as_str())).unzip()
}

/// One column of some rows.
fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
