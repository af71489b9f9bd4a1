//! When to look whether pay orders are to be closed. The database itself writes these rows down (`V12__closings.sql`).

use std::collections::BTreeSet;

use events::PayOrderNo;
use storage::{Client, Error};
use time::OffsetDateTime;

use super::Parsed;

/// Pay orders whose time has come.
#[derive(Debug)]
pub(crate) struct Due {
    /// Those that are not settled yet.
    pub(crate) open: BTreeSet<PayOrderNo>,
    /// How many were settled, or have another row, and need not be looked at again.
    pub(crate) settled: usize,
}

/// Rows are found by their key or their place, whatever the planner believes of the tables. Who is settled stays so; who is
/// payable for longer than the row says has another row.
const TAKE_DUE: &str = "
    WITH due AS MATERIALIZED (
        (SELECT ctid AS place, pay_order_no, payable_until FROM pay.closings
         WHERE balance IS FALSE AND payable_until <= $1 ORDER BY payable_until LIMIT $3)
        UNION ALL
        (SELECT ctid, pay_order_no, payable_until FROM pay.closings
         WHERE balance IS TRUE AND payable_until <= $2 ORDER BY payable_until LIMIT $3)
    ), judged AS MATERIALIZED (
        SELECT place, pay_order_no,
            (SELECT true FROM pay.pay_orders p
             WHERE p.pay_order_no = due.pay_order_no AND p.payable_until <= due.payable_until
                AND p.status IN ('NOT_COMMIT', 'WAIT_BUYER_PAY', 'TRADE_FAILED') LIMIT 1) IS NOT NULL AS open
        FROM due
    ), settled AS (
        DELETE FROM pay.closings WHERE ctid = ANY (ARRAY(SELECT place FROM judged WHERE NOT open))
    )
    SELECT pay_order_no, open FROM judged";

/// Looks at up to `limit` pay orders of channels that were payable until `due` at most (`None`: at none of them), and at as
/// many paid from balances that were payable until `now` at most, for nothing of theirs can be under way.
pub(crate) async fn take_due(
    client: &Client,
    due: Option<OffsetDateTime>,
    now: OffsetDateTime,
    limit: i64,
) -> Result<Due, Error> {
    let statement = client.prepare_cached(TAKE_DUE).await?;
    let mut taken = Due { open: BTreeSet::new(), settled: 0 };
    for row in client.query(&statement, &[&due, &now, &limit]).await? {
        if row.try_get("open")? {
            taken.open.insert(row.try_get::<_, Parsed<PayOrderNo>>("pay_order_no")?.0);
        } else {
            taken.settled += 1;
        }
    }
    Ok(taken)
}
