//! New pay orders: at most one active per order.

use storage::{Error, GenericClient, Transaction};

use super::pay_orders::{StoredPayOrder, columns, stored};

const INSERT: &str = "
    INSERT INTO pay.pay_orders (pay_order_no, merchant_id, order_no, purpose, amount_minor, currency, channel, status,
        active, version, subject, notify_url, attach, created_at, expires_at, payable_until)
    SELECT n.pay_order_no, n.merchant_id, n.order_no, n.purpose, n.amount_minor, n.currency, n.channel, n.status,
        true, n.version, n.subject, n.notify_url, n.attach, n.created_at, n.expires_at, n.expires_at
    FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[],
        $9::bigint[], $10::text[], $11::text[], $12::text[], $13::timestamptz[], $14::timestamptz[])
        WITH ORDINALITY AS n (pay_order_no, merchant_id, order_no, purpose, amount_minor, currency, channel, status,
            version, subject, notify_url, attach, created_at, expires_at, position)
    ORDER BY n.merchant_id, n.order_no, n.position
    ON CONFLICT (merchant_id, order_no) WHERE active DO NOTHING";

/// Inserts each pay order unless its order has an active one already, be it of this very batch: the first wins.
pub(crate) async fn insert(tx: &Transaction<'_>, new: &[StoredPayOrder]) -> Result<(), Error> {
    macro_rules! column {
        (|$stored:ident| $value:expr) => {
            new.iter().map(|$stored| $value).collect::<Vec<_>>()
        };
    }
    let statement = tx.prepare_cached(INSERT).await?;
    tx.execute(
        &statement,
        &[
            &column!(|new| new.order.pay_order_no.as_str()),
            &column!(|new| new.order.merchant_id.as_str()),
            &column!(|new| new.order.order_no.as_str()),
            &column!(|new| new.order.purpose.as_str()),
            &column!(|new| new.order.amount.amount_minor),
            &column!(|new| new.order.amount.currency.code()),
            &column!(|new| new.order.channel.as_str()),
            &column!(|new| new.order.status.as_str()),
            &column!(|new| new.order.version),
            &column!(|new| new.order.subject.as_deref()),
            &column!(|new| new.order.notify_url.as_deref()),
            &column!(|new| new.order.attach.as_deref()),
            &column!(|new| new.created_at),
            &column!(|new| new.expires_at),
        ],
    )
    .await?;
    Ok(())
}

const ACTIVE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM pay.pay_orders
     WHERE active AND (merchant_id, order_no) IN (SELECT * FROM UNNEST($1::text[], $2::text[]))"
);

/// The active pay orders of the orders of `new`, in no particular order.
pub(crate) async fn active(
    tx: &Transaction<'_>,
    new: &[StoredPayOrder],
) -> Result<Vec<StoredPayOrder>, Error> {
    let merchants: Vec<_> = new.iter().map(|new| new.order.merchant_id.as_str()).collect();
    let orders: Vec<_> = new.iter().map(|new| new.order.order_no.as_str()).collect();
    let statement = tx.prepare_cached(ACTIVE).await?;
    let rows = tx.query(&statement, &[&merchants, &orders]).await?;
    rows.iter().map(stored).collect()
}
