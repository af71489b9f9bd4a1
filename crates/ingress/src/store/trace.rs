//! Everything the ingress knows of one order.

use serde_json::Value;
use storage::{Client, Error};
use time::OffsetDateTime;

const STEPS: &str = "
    WITH orders AS (
        SELECT * FROM pay.pay_orders WHERE order_no = $1 ORDER BY created_at DESC LIMIT 100
    )
    SELECT created_at AS at, 'pay_order_created' AS step, jsonb_build_object(
        'pay_order_no', pay_order_no, 'merchant_id', merchant_id, 'amount_minor', amount_minor, 'currency', currency,
        'channel', channel, 'expires_at', expires_at, 'status', status, 'version', version) AS detail
    FROM orders
    UNION ALL
    SELECT close_requested_at, 'close_requested', jsonb_build_object('pay_order_no', pay_order_no)
    FROM orders WHERE close_requested_at IS NOT NULL
    UNION ALL
    SELECT c.received_at, 'callback_received', jsonb_build_object(
        'pay_order_no', c.pay_order_no, 'account', c.account, 'dedupe_id', c.dedupe_id, 'outcome', c.outcome,
        'reason', c.reason, 'traceparent', c.traceparent)
    FROM orders JOIN pay.callbacks c USING (pay_order_no)
    UNION ALL
    SELECT e.occurred_at, 'event_committed', jsonb_build_object(
        'pay_order_no', e.pay_order_no, 'event_id', e.event_id, 'type', e.type, 'version', e.version,
        'traceparent', e.traceparent, 'published', o.id IS NULL, 'returned', o.attempts)
    FROM orders JOIN pay.events e USING (pay_order_no) LEFT JOIN pay.outbox_pending o ON o.event_id = e.event_id
    UNION ALL
    SELECT f.occurred_at, 'money_moved', jsonb_build_object(
        'pay_order_no', f.pay_order_no, 'trans_no', f.trans_no, 'kind', f.kind, 'owner', e.owner,
        'amount_minor', e.amount_minor, 'currency', e.currency)
    FROM orders JOIN ledger.flows f USING (pay_order_no) JOIN ledger.entries e ON e.flow_id = f.flow_id
    WHERE e.balance_minor IS NOT NULL
    UNION ALL
    SELECT c.first_seen_at, 'contradiction_recorded', jsonb_build_object(
        'pay_order_no', c.pay_order_no, 'reason', c.reason, 'channel_trade_no', c.channel_trade_no, 'count', c.count,
        'last_seen_at', c.last_seen_at)
    FROM orders JOIN pay.contradictions c USING (pay_order_no)
    UNION ALL
    SELECT c.resolved_at, 'contradiction_' || c.resolution, jsonb_build_object(
        'pay_order_no', c.pay_order_no, 'reason', c.reason, 'channel_trade_no', c.channel_trade_no, 'by', c.resolved_by,
        'note', c.note)
    FROM orders JOIN pay.contradictions c USING (pay_order_no) WHERE c.resolved_at IS NOT NULL
    ORDER BY at
    LIMIT 1000";

/// The steps of all pay orders of this order number, of whichever merchant, in the order of time.
pub(crate) async fn steps(
    client: &Client,
    order_no: &str,
) -> Result<Vec<(OffsetDateTime, String, Value)>, Error> {
    let statement = client.prepare_cached(STEPS).await?;
    let rows = client.query(&statement, &[&order_no]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
}
