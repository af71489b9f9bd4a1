//! Pay orders: reading, locking, saving transitions, closing.

use std::collections::BTreeMap;

use events::{ChannelAccount, Currency, MerchantId, Money, OrderNo, PayOrder, PayOrderNo};
use storage::{Client, Error, GenericClient, Transaction};
use time::OffsetDateTime;
use tokio_postgres::Row;

use super::Parsed;

/// A pay order with the times that its transitions do not depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredPayOrder {
    pub(crate) order: PayOrder,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) expires_at: OffsetDateTime,
    /// When the merchant asked for its close.
    pub(crate) close_requested_at: Option<OffsetDateTime>,
    /// From then on new payments are refused.
    pub(crate) payable_until: OffsetDateTime,
}

/// Which pay order of a merchant is meant.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    /// The one of this number.
    PayOrder(PayOrderNo),
    /// The active one of this order, else the newest.
    Order(OrderNo),
}

macro_rules! columns {
    () => {
        "pay_order_no, merchant_id, order_no, purpose, amount_minor, currency, channel, status, version, refunded_minor,
         channel_trade_no, paid_at, subject, notify_url, attach, created_at, expires_at, close_requested_at, payable_until"
    };
}
pub(super) use columns;

const BY_NUMBER: &str =
    concat!("SELECT ", columns!(), " FROM pay.pay_orders WHERE pay_order_no = $2 AND merchant_id = $1");

const BY_ORDER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM pay.pay_orders WHERE order_no = $2 AND merchant_id = $1 ORDER BY active DESC, created_at DESC LIMIT 1"
);

/// The pay order that a merchant asks for; `None` also if it belongs to another merchant.
pub(crate) async fn find(
    client: &Client,
    merchant_id: &MerchantId,
    wanted: &Wanted,
) -> Result<Option<StoredPayOrder>, Error> {
    let (statement, number) = match wanted {
        Wanted::PayOrder(number) => (BY_NUMBER, number.as_str()),
        Wanted::Order(number) => (BY_ORDER, number.as_str()),
    };
    let statement = client.prepare_cached(statement).await?;
    let row = client.query_opt(&statement, &[&merchant_id.as_str(), &number]).await?;
    row.as_ref().map(stored).transpose()
}

const LOCK: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM pay.pay_orders WHERE pay_order_no = ANY($1) ORDER BY pay_order_no FOR UPDATE"
);

/// Locks pay orders, in the order of their numbers, and returns those that exist.
pub(crate) async fn lock(
    tx: &Transaction<'_>,
    numbers: &[&str],
) -> Result<BTreeMap<PayOrderNo, PayOrder>, Error> {
    let statement = tx.prepare_cached(LOCK).await?;
    let rows = tx.query(&statement, &[&numbers]).await?;
    rows.iter().map(pay_order).map(|order| order.map(|order| (order.pay_order_no.clone(), order))).collect()
}

/// Locks one pay order and returns it, if it exists, with its times.
pub(crate) async fn lock_one(
    tx: &Transaction<'_>,
    pay_order_no: &PayOrderNo,
) -> Result<Option<StoredPayOrder>, Error> {
    let statement = tx.prepare_cached(LOCK).await?;
    let row = tx.query_opt(&statement, &[&[pay_order_no.as_str()].as_slice()]).await?;
    row.as_ref().map(stored).transpose()
}

const SAVE: &str = "
    UPDATE pay.pay_orders o
    SET status = n.status, version = n.version, refunded_minor = n.refunded_minor,
        channel_trade_no = n.channel_trade_no, paid_at = n.paid_at,
        active = o.active AND n.status NOT IN ('TRADE_FAILED', 'TRADE_CLOSED')
    FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::timestamptz[])
        AS n (pay_order_no, status, version, refunded_minor, channel_trade_no, paid_at)
    WHERE o.pay_order_no = n.pay_order_no";

/// Writes what transitions changed. Each pay order at most once, and locked before.
pub(crate) async fn save(tx: &Transaction<'_>, orders: &[PayOrder]) -> Result<(), Error> {
    if orders.is_empty() {
        return Ok(());
    }
    let numbers: Vec<_> = orders.iter().map(|order| order.pay_order_no.as_str()).collect();
    let statuses: Vec<_> = orders.iter().map(|order| order.status.as_str()).collect();
    let versions: Vec<_> = orders.iter().map(|order| order.version).collect();
    let refunded: Vec<_> = orders.iter().map(|order| order.refunded_minor).collect();
    let trades: Vec<_> = orders.iter().map(|order| order.channel_trade_no.as_deref()).collect();
    let paid_at: Vec<_> = orders.iter().map(|order| order.paid_at).collect();
    let statement = tx.prepare_cached(SAVE).await?;
    tx.execute(&statement, &[&numbers, &statuses, &versions, &refunded, &trades, &paid_at]).await?;
    Ok(())
}

const OTHER: &str = "
    SELECT pay_order_no FROM pay.pay_orders
    WHERE order_no = $2 AND merchant_id = $1 AND pay_order_no <> $3
        AND (active OR status IN ('TRADE_SUCCESS', 'PARTIALLY_REFUNDED', 'TRADE_REFUNDED'))
    ORDER BY created_at DESC LIMIT 1";

/// Another pay order of the same order that is active or has been paid.
pub(crate) async fn find_other_pay_order_in_effect(
    tx: &Transaction<'_>,
    order: &PayOrder,
) -> Result<Option<PayOrderNo>, Error> {
    let statement = tx.prepare_cached(OTHER).await?;
    let key = [order.merchant_id.as_str(), order.order_no.as_str(), order.pay_order_no.as_str()];
    let row = tx.query_opt(&statement, &[&key[0], &key[1], &key[2]]).await?;
    row.map(|row| Ok(row.try_get::<_, Parsed<PayOrderNo>>(0)?.0)).transpose()
}

const REACTIVATE: &str =
    "UPDATE pay.pay_orders SET active = true WHERE pay_order_no = $1 AND status <> 'TRADE_CLOSED'";

/// Lets a pay order that is no longer closed keep its order from getting another one, again. Rejected if the order has got another meanwhile.
pub(crate) async fn reactivate(tx: &Transaction<'_>, pay_order_no: &PayOrderNo) -> Result<(), Error> {
    let statement = tx.prepare_cached(REACTIVATE).await?;
    tx.execute(&statement, &[&pay_order_no.as_str()]).await?;
    Ok(())
}

const REQUEST_CLOSE: &str = concat!(
    "UPDATE pay.pay_orders
     SET close_requested_at = coalesce(close_requested_at, $3), payable_until = least(payable_until, $3)
     WHERE pay_order_no = $2 AND merchant_id = $1 AND status IN ('NOT_COMMIT', 'WAIT_BUYER_PAY', 'TRADE_FAILED')
     RETURNING ",
    columns!()
);

/// Refuses new payments from `now` on; `None` if there is no such pay order, or it can no longer be closed.
pub(crate) async fn request_close(
    client: &Client,
    merchant_id: &MerchantId,
    pay_order_no: &PayOrderNo,
    now: OffsetDateTime,
) -> Result<Option<StoredPayOrder>, Error> {
    let statement = client.prepare_cached(REQUEST_CLOSE).await?;
    let row = client.query_opt(&statement, &[&merchant_id.as_str(), &pay_order_no.as_str(), &now]).await?;
    row.as_ref().map(stored).transpose()
}

/// A row of `columns!`.
pub(super) fn stored(row: &Row) -> Result<StoredPayOrder, Error> {
    Ok(StoredPayOrder {
        order: pay_order(row)?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        close_requested_at: row.try_get("close_requested_at")?,
        payable_until: row.try_get("payable_until")?,
    })
}

fn pay_order(row: &Row) -> Result<PayOrder, Error> {
    let currency: Parsed<Currency> = row.try_get("currency")?;
    Ok(PayOrder {
        pay_order_no: row.try_get::<_, Parsed<PayOrderNo>>("pay_order_no")?.0,
        merchant_id: row.try_get::<_, Parsed<MerchantId>>("merchant_id")?.0,
        order_no: row.try_get::<_, Parsed<OrderNo>>("order_no")?.0,
        purpose: row.try_get::<_, Parsed<_>>("purpose")?.0,
        amount: Money::new(row.try_get("amount_minor")?, currency.0),
        channel: row.try_get::<_, Parsed<ChannelAccount>>("channel")?.0,
        status: row.try_get::<_, Parsed<_>>("status")?.0,
        version: row.try_get("version")?,
        refunded_minor: row.try_get("refunded_minor")?,
        channel_trade_no: row.try_get("channel_trade_no")?,
        paid_at: row.try_get("paid_at")?,
        subject: row.try_get("subject")?,
        notify_url: row.try_get("notify_url")?,
        attach: row.try_get("attach")?,
    })
}
