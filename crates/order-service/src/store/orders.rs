//! `orders.orders` by HTTP: create, find, close.

use events::Money;
use storage::{Database, Error};
use tokio_postgres::{Row, types::Json};

use super::parsed;
use crate::order::{NewOrder, Order, OrderKey, OrderStatus, Payment};

const INSERT: &str = "
    INSERT INTO orders.orders (merchant_id, order_no, buyer_id, amount_minor, currency, items)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT DO NOTHING";

/// One statement, and so one snapshot of the order with all that belongs to it. The columns are named, here as everywhere:
/// a `*` that a later migration makes wider is refused on every connection that has it prepared.
const FIND: &str = "
    SELECT o.merchant_id, o.order_no, o.buyer_id, o.amount_minor, o.currency, o.items, o.status, o.refunded_minor,
        o.pay_order_no, o.channel_trade_no, o.paid_at, o.version, o.created_at,
        (SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.seq), '[]') FROM orders.sub_orders s
          WHERE s.order_no = o.order_no AND s.merchant_id = o.merchant_id) AS sub_orders,
        (SELECT coalesce(jsonb_agg(
                    jsonb_build_object('pay_order_no', nullif(p.pay_order_no, ''), 'status', p.status,
                                       'occurred_at', p.occurred_at)
                    ORDER BY p.noted_at, p.pay_order_no, p.status), '[]')
           FROM orders.payments p
          WHERE p.order_no = o.order_no AND p.merchant_id = o.merchant_id) AS payments
    FROM orders.orders o
    WHERE o.order_no = $1 AND o.merchant_id = $2";

const CLOSE: &str = "
    UPDATE orders.orders
    SET status = 'CLOSED', closed_at = now(), version = version + 1
    WHERE order_no = $1 AND merchant_id = $2 AND status = 'AWAITING_PAYMENT'";

/// Creates an order, unless one of its name exists. True if it was created.
pub async fn create(database: &Database, order: &NewOrder) -> Result<bool, Error> {
    let client = database.client().await?;
    let insert = client.prepare_cached(INSERT).await?;
    let created = client
        .execute(
            &insert,
            &[
                &order.key.merchant_id.as_str(),
                &order.key.order_no.as_str(),
                &order.buyer_id.as_str(),
                &order.amount.amount_minor,
                &order.amount.currency.code(),
                &Json(&order.items),
            ],
        )
        .await?;
    Ok(created == 1)
}

/// The order of that name.
pub async fn find(database: &Database, key: &OrderKey) -> Result<Option<Order>, Error> {
    let client = database.client().await?;
    let find = client.prepare_cached(FIND).await?;
    let row = client.query_opt(&find, &[&key.order_no.as_str(), &key.merchant_id.as_str()]).await?;
    row.map(|row| order(&row)).transpose()
}

/// Closes the order if it awaits its payment. True if this call has closed it.
pub async fn close(database: &Database, key: &OrderKey) -> Result<bool, Error> {
    let client = database.client().await?;
    let close = client.prepare_cached(CLOSE).await?;
    let closed = client.execute(&close, &[&key.order_no.as_str(), &key.merchant_id.as_str()]).await?;
    Ok(closed == 1)
}

fn order(row: &Row) -> Result<Order, Error> {
    let content = NewOrder {
        key: OrderKey { merchant_id: parsed(row, "merchant_id")?, order_no: parsed(row, "order_no")? },
        buyer_id: parsed(row, "buyer_id")?,
        amount: amount(row)?,
        items: row.try_get::<_, Json<_>>("items")?.0,
    };
    Ok(Order {
        content,
        status: parsed::<OrderStatus>(row, "status")?,
        refunded_minor: row.try_get("refunded_minor")?,
        payment: payment(row)?,
        payments: row.try_get::<_, Json<_>>("payments")?.0,
        sub_orders: row.try_get::<_, Json<_>>("sub_orders")?.0,
        version: row.try_get("version")?,
        created_at: row.try_get("created_at")?,
    })
}

/// The amount of a row of `orders.orders`.
pub(super) fn amount(row: &Row) -> Result<Money, Error> {
    Ok(Money::new(row.try_get("amount_minor")?, parsed(row, "currency")?))
}

/// The facts of the payment in a row of `orders.orders`.
pub(super) fn payment(row: &Row) -> Result<Option<Payment>, Error> {
    let Some(paid_at) = row.try_get("paid_at")? else {
        return Ok(None);
    };
    Ok(Some(Payment {
        pay_order_no: parsed(row, "pay_order_no")?,
        channel_trade_no: row.try_get("channel_trade_no")?,
        paid_at,
    }))
}
