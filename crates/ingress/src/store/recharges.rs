//! Recharges: whose account the success of a pay order credits.

mod differing;

pub(crate) use differing::differing;

use std::collections::BTreeMap;

use events::{MerchantId, PayOrderNo, RechargeNo, UserId};
use storage::{Error, GenericClient, Transaction};
use tokio_postgres::Row;

use super::Parsed;
use super::pay_orders::{StoredPayOrder, columns, stored};

/// A recharge with its pay order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recharge {
    /// Its `recharge_no`, unique per merchant.
    pub(crate) number: RechargeNo,
    pub(crate) user_id: UserId,
    pub(crate) pay_order: StoredPayOrder,
}

const INSERT: &str = "
    INSERT INTO pay.recharges (merchant_id, recharge_no, pay_order_no, user_id) VALUES ($1, $2, $3, $4)
    ON CONFLICT (merchant_id, recharge_no) DO NOTHING";

/// Inserts a recharge, unless the merchant has one of this number; whether it did. Its pay order is inserted by the caller.
pub(crate) async fn insert(tx: &Transaction<'_>, new: &Recharge) -> Result<bool, Error> {
    let order = &new.pay_order.order;
    let statement = tx.prepare_cached(INSERT).await?;
    let values =
        [order.merchant_id.as_str(), new.number.as_str(), order.pay_order_no.as_str(), new.user_id.as_str()];
    let inserted = tx.execute(&statement, &[&values[0], &values[1], &values[2], &values[3]]).await?;
    Ok(inserted == 1)
}

const FIND: &str = concat!(
    "SELECT r.recharge_no, r.user_id, o.* FROM pay.recharges r
     CROSS JOIN LATERAL (SELECT ",
    columns!(),
    " FROM pay.pay_orders p WHERE p.pay_order_no = r.pay_order_no LIMIT 1) o
     WHERE r.merchant_id = $1 AND r.recharge_no = $2"
);

/// The recharge of this number, with its pay order.
pub(crate) async fn find(
    client: &impl GenericClient,
    merchant_id: &MerchantId,
    recharge_no: &RechargeNo,
) -> Result<Option<Recharge>, Error> {
    let statement = client.prepare_cached(FIND).await?;
    let row = client.query_opt(&statement, &[&merchant_id.as_str(), &recharge_no.as_str()]).await?;
    row.as_ref().map(recharge).transpose()
}

fn recharge(row: &Row) -> Result<Recharge, Error> {
    Ok(Recharge {
        number: row.try_get::<_, Parsed<_>>("recharge_no")?.0,
        user_id: row.try_get::<_, Parsed<_>>("user_id")?.0,
        pay_order: stored(row)?,
    })
}

const USERS: &str = "SELECT pay_order_no, user_id FROM pay.recharges WHERE pay_order_no = ANY($1)";

/// The users whose accounts these pay orders credit.
pub(crate) async fn users(
    tx: &Transaction<'_>,
    numbers: &[&str],
) -> Result<BTreeMap<PayOrderNo, UserId>, Error> {
    let statement = tx.prepare_cached(USERS).await?;
    let rows = tx.query(&statement, &[&numbers]).await?;
    let user = |row: &Row| -> Result<_, Error> {
        Ok((row.try_get::<_, Parsed<_>>(0)?.0, row.try_get::<_, Parsed<_>>(1)?.0))
    };
    rows.iter().map(user).collect()
}
