//! What the schema knows of one order number, of any merchant, for `payrelay trace`.

use admin_api::trace::TraceStep;
use events::OrderNo;
use storage::{Database, Error};

/// The name under which the service speaks of itself.
const SERVICE: &str = "order-service";
/// The most steps that are answered; an order has a handful.
const MAX_STEPS: i64 = 1_000;

const TRACE: &str = "
    SELECT at, step, jsonb_strip_nulls(detail) AS detail FROM (
        SELECT created_at AS at, 'order_created' AS step,
            jsonb_build_object('merchant_id', merchant_id, 'amount_minor', amount_minor, 'currency', currency) AS detail
        FROM orders.orders WHERE order_no = $1
        UNION ALL
        SELECT marked_paid_at, 'order_paid',
            jsonb_build_object('merchant_id', merchant_id, 'pay_order_no', pay_order_no, 'status', status,
                'refunded_minor', refunded_minor)
        FROM orders.orders WHERE order_no = $1 AND marked_paid_at IS NOT NULL
        UNION ALL
        SELECT closed_at, 'order_closed', jsonb_build_object('merchant_id', merchant_id)
        FROM orders.orders WHERE order_no = $1 AND closed_at IS NOT NULL
        UNION ALL
        SELECT handled_at, 'event_handled',
            jsonb_build_object('merchant_id', merchant_id, 'type', type, 'outcome', outcome, 'event_id', event_id,
                'pay_order_no', pay_order_no, 'occurred_at', occurred_at, 'traceparent', traceparent)
        FROM orders.handled WHERE order_no = $1
        UNION ALL
        SELECT parked_at, 'message_parked',
            jsonb_build_object('merchant_id', merchant_id, 'type', type, 'reason', reason, 'detail', detail,
                'event_id', event_id, 'pay_order_no', pay_order_no, 'queue', queue, 'attempts', attempts,
                'traceparent', traceparent)
        FROM orders.parked WHERE order_no = $1
        UNION ALL
        SELECT resolved_at, 'contradiction_' || resolution,
            jsonb_build_object('merchant_id', merchant_id, 'reason', reason, 'event_id', event_id,
                'pay_order_no', pay_order_no, 'by', resolved_by, 'note', note)
        FROM orders.parked WHERE order_no = $1 AND resolved_at IS NOT NULL
    ) steps
    ORDER BY at
    LIMIT $2";

/// Everything that happened to orders of this number, in the order of time.
pub async fn steps(database: &Database, order_no: &OrderNo) -> Result<Vec<TraceStep>, Error> {
    let client = database.client().await?;
    let trace = client.prepare_cached(TRACE).await?;
    let rows = client.query(&trace, &[&order_no.as_str(), &MAX_STEPS]).await?;
    rows.iter()
        .map(|row| {
            Ok(TraceStep {
                at: row.try_get("at")?,
                service: SERVICE.to_owned(),
                step: row.try_get("step")?,
                detail: row.try_get("detail")?,
            })
        })
        .collect()
}
