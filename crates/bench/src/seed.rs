//! Rows that are there before a load: pay orders that wait for their payment, and their orders. Written in bulk, in the shape
//! in which the services write them one by one.

use std::ops::Range;

use anyhow::Result;
use tokio_postgres::Client;

use crate::payments::{ACCOUNT, sql};

/// Two articles of two shops, as of an order that is split in two.
pub(crate) const ITEMS: &str = r"jsonb_build_array(
    jsonb_build_object('sku', 'tea', 'quantity', 1, 'price_minor', 600, 'shop_id', 's1', 'warehouse_id', 'w1'),
    jsonb_build_object('sku', 'cup', 'quantity', 1, 'price_minor', 400 + i % 100000, 'shop_id', 's2', 'warehouse_id', 'w1'))";

/// Pay orders of these payments that wait for the buyer.
pub(crate) async fn pay_orders(client: &Client, range: &Range<usize>) -> Result<()> {
    let statement = format!(
        "INSERT INTO pay.pay_orders (pay_order_no, merchant_id, order_no, purpose, amount_minor, currency, channel,
            status, active, version, subject, attach, created_at, expires_at, payable_until)
        SELECT {number}, {merchant}, {order}, 'ORDER', {amount}, 'CNY', '{ACCOUNT}', 'WAIT_BUYER_PAY', true, 1, 'tea and cup',
            'buyer=' || i, now(), now() + interval '2 days', now() + interval '2 days'
        FROM generate_series({from}, {to}) AS i",
        number = sql::PAY_ORDER_NO,
        merchant = sql::merchant_id(),
        order = sql::ORDER_NO,
        amount = sql::AMOUNT_MINOR,
        from = range.start,
        to = range.end - 1,
    );
    client.batch_execute(&statement).await?;
    Ok(())
}

/// Orders of these payments that await their payment.
pub(crate) async fn orders(client: &Client, range: &Range<usize>) -> Result<()> {
    let statement = format!(
        "INSERT INTO orders.orders (merchant_id, order_no, buyer_id, amount_minor, currency, items)
        SELECT {merchant}, {order}, 'b' || i, {amount}, 'CNY', {ITEMS}
        FROM generate_series({from}, {to}) AS i",
        merchant = sql::merchant_id(),
        order = sql::ORDER_NO,
        amount = sql::AMOUNT_MINOR,
        from = range.start,
        to = range.end - 1,
    );
    client.batch_execute(&statement).await?;
    Ok(())
}

/// Lets the planner know of what was written to these tables, and the disk be done with it. The others are left as they are:
/// of a table that was vacuumed while it was empty the planner would believe that it stays so.
pub(crate) async fn settle(client: &Client, tables: &[&str]) -> Result<()> {
    client.batch_execute(&format!("VACUUM (ANALYZE) {}", tables.join(", "))).await?;
    client.batch_execute("CHECKPOINT").await?;
    Ok(())
}
