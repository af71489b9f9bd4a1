//! Whether every recharge is in the books as its pay order stands, and no other.

use admin_api::audit::Span;
use admin_api::trial_balance::{LedgerFinding, LedgerFindingKind};
use storage::{Error, GenericClient};
use tokio_postgres::Row;

/// How many findings are named at most.
const MAX_FINDINGS: i64 = 100;

/// What the channel's account gave and got back is set against what was paid and refunded. Written such that each pay order, flow
/// and entry is looked up by its key, whatever the planner believes of the tables: nothing that it could join otherwise, and
/// kinds and purposes are asked for where no index of theirs could be read instead. No index holds when a pay order was paid; it
/// is paid within eight days of its making, the longest expiry and grace, or an operator accepts it later.
const DIFFERING: &str = "
    SELECT c.pay_order_no AS subject, coalesce(o.currency, b.currency) AS currency, d.is_refund,
        coalesce(d.expected_minor, 0) AS expected_minor, coalesce(d.found_minor, 0) AS found_minor
    FROM (
        SELECT pay_order_no FROM pay.pay_orders
        WHERE purpose = 'RECHARGE' AND created_at >= $1::timestamptz - interval '8 days' AND created_at < $2
            AND (created_at >= $1 OR paid_at >= $1 AND paid_at < $2)
        UNION
        SELECT pay_order_no FROM ledger.flows
        WHERE kind IN ('recharge', 'recharge_refund') AND occurred_at >= $1 AND occurred_at < $2
    ) c
    LEFT JOIN LATERAL (
        SELECT p.currency, CASE p.purpose WHEN 'RECHARGE' THEN p.refunded_minor END AS refunded_minor,
            CASE WHEN p.purpose = 'RECHARGE' AND p.status IN ('TRADE_SUCCESS', 'PARTIALLY_REFUNDED', 'TRADE_REFUNDED')
                THEN p.amount_minor END AS paid_minor
        FROM pay.pay_orders p WHERE p.pay_order_no = c.pay_order_no LIMIT 1
    ) o ON true
    CROSS JOIN LATERAL (
        SELECT min(f.currency) AS currency,
            (-sum(f.amount_minor) FILTER (WHERE f.kind = 'recharge'))::bigint AS paid_minor,
            (sum(f.amount_minor) FILTER (WHERE f.kind = 'recharge_refund'))::bigint AS refunded_minor
        FROM (
            SELECT f.kind, e.currency, e.amount_minor FROM ledger.flows f
            CROSS JOIN LATERAL (
                SELECT e.currency, e.amount_minor FROM ledger.entries e
                WHERE e.flow_id = f.flow_id AND left(e.owner, 8) = 'channel/' LIMIT 1
            ) e
            WHERE f.pay_order_no = c.pay_order_no
        ) f
    ) b
    CROSS JOIN LATERAL (
        VALUES (false, o.paid_minor, b.paid_minor), (true, o.refunded_minor, b.refunded_minor)
    ) d (is_refund, expected_minor, found_minor)
    WHERE coalesce(d.expected_minor, 0) <> coalesce(d.found_minor, 0)
    LIMIT $3";

/// Of the recharges that were made or paid, or whose money moved, in the window: those of which something else is posted than was
/// paid or refunded, and flows of recharges that are none.
pub(crate) async fn differing(client: &impl GenericClient, span: Span) -> Result<Vec<LedgerFinding>, Error> {
    let statement = client.prepare_cached(DIFFERING).await?;
    let rows = client.query(&statement, &[&span.from, &span.to, &MAX_FINDINGS]).await?;
    rows.iter().map(finding).collect()
}

fn finding(row: &Row) -> Result<LedgerFinding, Error> {
    let kind = if row.try_get("is_refund")? {
        LedgerFindingKind::RechargeRefundDiffers
    } else {
        LedgerFindingKind::RechargeDiffers
    };
    Ok(LedgerFinding {
        kind,
        subject: row.try_get("subject")?,
        currency: row.try_get("currency")?,
        expected_minor: row.try_get("expected_minor")?,
        found_minor: row.try_get("found_minor")?,
    })
}
