//! What is known of one order, step by step.

use admin_api::trace::TraceStep;
use storage::{Error, GenericClient};
use tokio_postgres::Row;

use super::query;

/// The name under which steps are reported.
const SERVICE: &str = "merchant-notifier";

/// The details are built by the database: they are for reading only.
const TRACE: &str = "
SELECT handled_at AS at, 'event_handled' AS step, json_build_object('merchant_id', merchant_id, 'event_id', event_id,
    'type', event_type, 'outcome', outcome, 'occurred_at', occurred_at)::text AS detail
FROM notify.handled WHERE order_no = $1
UNION ALL
SELECT created_at, 'notification_created', json_build_object('merchant_id', merchant_id,
    'notification_id', notification_id, 'pay_order_no', pay_order_no, 'type', event_type, 'version', version)::text
FROM notify.notifications WHERE order_no = $1
UNION ALL
SELECT retried_at, 'notification_retried', json_build_object('notification_id', notification_id,
    'type', event_type)::text
FROM notify.notifications WHERE order_no = $1 AND retried_at IS NOT NULL
UNION ALL
SELECT a.started_at, 'webhook_attempt', json_build_object('notification_id', a.notification_id, 'type', n.event_type,
    'attempt', a.attempt, 'http_status', a.http_status, 'duration_ms', a.duration_ms, 'error', a.error_kind,
    'error_detail', a.error_detail, 'response', a.response_excerpt)::text
FROM notify.notifications n JOIN notify.attempts a ON a.notification_id = n.notification_id WHERE n.order_no = $1
UNION ALL
SELECT finished_at, CASE status WHEN 'DELIVERED' THEN 'notification_delivered' ELSE 'notification_parked' END,
    json_build_object('notification_id', notification_id, 'type', event_type, 'attempts', attempts,
    'reason', reason)::text
FROM notify.notifications WHERE order_no = $1 AND finished_at IS NOT NULL
UNION ALL
SELECT parked_at, 'event_parked', json_build_object('queue', queue, 'event_id', event_id, 'type', event_type,
    'reason', reason, 'detail', detail)::text
FROM notify.parked WHERE order_no = $1
ORDER BY at LIMIT 10000";

/// Every step of an order, in the order of time.
pub async fn trace(client: &impl GenericClient, order_no: &str) -> Result<Vec<TraceStep>, Error> {
    let rows = query(client, TRACE, &[&order_no]).await?;
    let step = |row: &Row| {
        let detail: &str = row.try_get("detail")?;
        Ok(TraceStep {
            at: row.try_get("at")?,
            service: SERVICE.to_owned(),
            step: row.try_get("step")?,
            detail: serde_json::from_str(detail).map_err(Error::rejected)?,
        })
    };
    rows.iter().map(step).collect()
}
