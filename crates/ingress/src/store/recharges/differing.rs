//! Whether every recharge is in the books as its pay order stands, and no other.

use events::trial_balance::{Finding, FindingKind};
use storage::{Error, GenericClient};
use tokio_postgres::Row;

/// How many findings are named at most.
const MAX_FINDINGS: i64 = 100;

/// Pay orders and flows come in the order of the pay orders' numbers, and are merged. What the channel's account gave and got
/// back is set against what was paid and refunded.
const DIFFERING: &str = "
    SELECT coalesce(o.pay_order_no, b.pay_order_no) AS subject, coalesce(o.currency, b.currency) AS currency, d.is_refund,
        coalesce(d.expected_minor, 0) AS expected_minor, coalesce(d.found_minor, 0) AS found_minor
    FROM (
        SELECT r.pay_order_no, p.currency, p.refunded_minor,
            CASE WHEN p.status IN ('TRADE_SUCCESS', 'PARTIALLY_REFUNDED', 'TRADE_REFUNDED') THEN p.amount_minor END AS paid_minor
        FROM pay.recharges r JOIN pay.pay_orders p ON p.pay_order_no = r.pay_order_no
    ) o
    FULL JOIN (
        SELECT f.pay_order_no, min(e.currency) AS currency,
            (-sum(e.amount_minor) FILTER (WHERE f.kind = 'recharge'))::bigint AS paid_minor,
            (sum(e.amount_minor) FILTER (WHERE f.kind = 'recharge_refund'))::bigint AS refunded_minor
        FROM ledger.flows f JOIN ledger.entries e ON e.flow_id = f.flow_id AND starts_with(e.owner, 'channel/')
        WHERE f.kind IN ('recharge', 'recharge_refund')
        GROUP BY f.pay_order_no
    ) b ON b.pay_order_no = o.pay_order_no
    CROSS JOIN LATERAL (
        VALUES (false, o.paid_minor, b.paid_minor), (true, o.refunded_minor, b.refunded_minor)
    ) d (is_refund, expected_minor, found_minor)
    WHERE coalesce(d.expected_minor, 0) <> coalesce(d.found_minor, 0)
    LIMIT $1";

/// The recharges of which something else is posted than was paid or refunded, and flows of recharges that are none. Reads all
/// of both.
pub(crate) async fn differing(client: &impl GenericClient) -> Result<Vec<Finding>, Error> {
    let statement = client.prepare_cached(DIFFERING).await?;
    let rows = client.query(&statement, &[&MAX_FINDINGS]).await?;
    rows.iter().map(finding).collect()
}

fn finding(row: &Row) -> Result<Finding, Error> {
    let kind = if row.try_get("is_refund")? {
        FindingKind::RechargeRefundDiffers
    } else {
        FindingKind::RechargeDiffers
    };
    Ok(Finding {
        kind,
        subject: row.try_get("subject")?,
        currency: row.try_get("currency")?,
        expected_minor: row.try_get("expected_minor")?,
        found_minor: row.try_get("found_minor")?,
    })
}
