//! Payments among `orders.parked` that contradict their order: it was paid by another pay order, or closed unpaid.

use admin_api::contradiction::{Action, Contradiction, ContradictionsQuery, Resolution, Resolve};
use serde::Deserialize;
use storage::{Database, Error};
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

use super::Parsed;

/// Why an order cannot take a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Another pay order has paid it.
    SecondPayment,
    /// It was closed unpaid.
    OrderClosed,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::SecondPayment, Self::OrderClosed];

    /// The name in JSON, metrics and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SecondPayment => "second_payment",
            Self::OrderClosed => "order_closed",
        }
    }
}

/// Those among the parked.
macro_rules! contradictions {
    () => {
        " FROM orders.parked p WHERE p.reason IN ('second_payment', 'order_closed')"
    };
}

/// What was applied after all is none any more.
macro_rules! handled {
    () => {
        "EXISTS (SELECT FROM orders.handled h WHERE h.occurred_at = p.occurred_at AND h.event_id = p.event_id)"
    };
}

macro_rules! select {
    ($($rest:expr),+) => {
        concat!(
            "SELECT p.contradiction_id, p.reason, p.merchant_id, p.order_no, p.pay_order_no, p.first_seen, p.parked_at,
                p.resolution, p.note, p.resolved_by, p.resolved_at,
                (SELECT jsonb_build_object('status', o.status, 'version', o.version, 'amount_minor', o.amount_minor,
                    'currency', o.currency, 'refunded_minor', o.refunded_minor, 'pay_order_no', o.pay_order_no,
                    'channel_trade_no', o.channel_trade_no, 'paid_at', o.paid_at, 'closed_at', o.closed_at)
                 FROM orders.orders o WHERE o.order_no = p.order_no AND o.merchant_id = p.merchant_id) AS ours,
                jsonb_build_object('type', p.type, 'pay_order_no', p.pay_order_no, 'event_id', p.event_id,
                    'occurred_at', p.occurred_at, 'detail', p.detail, 'queue', p.queue, 'message_id', p.message_id,
                    'upstream', p.upstream, 'traceparent', p.traceparent) AS theirs",
            contradictions!(),
            $($rest),+
        )
    };
}

const LIST: &str = select!(
    " AND (p.resolution IS NOT NULL OR NOT ",
    handled!(),
    ") AND ($1::boolean IS NULL OR (p.resolution IS NOT NULL) = $1) AND ($2::text IS NULL OR p.reason = $2)
     ORDER BY p.parked_at DESC LIMIT $3"
);

/// Those that are wanted, the latest first.
pub async fn list(
    database: &Database,
    wanted: &ContradictionsQuery<Reason>,
) -> Result<Vec<Contradiction>, Error> {
    let client = database.client().await?;
    let list = client.prepare_cached(LIST).await?;
    let (resolved, reason) = (wanted.status.resolved(), wanted.reason.map(Reason::as_str));
    let rows = client.query(&list, &[&resolved, &reason, &wanted.limit.get()]).await?;
    rows.iter().map(contradiction).collect()
}

const FIND: &str = select!(" AND p.contradiction_id = $1");

/// One contradiction.
pub async fn find(database: &Database, id: Uuid) -> Result<Option<Contradiction>, Error> {
    let client = database.client().await?;
    let find = client.prepare_cached(FIND).await?;
    client.query_opt(&find, &[&id]).await?.as_ref().map(contradiction).transpose()
}

const DISMISS: &str = "
    UPDATE orders.parked SET resolution = 'dismissed', note = $2, resolved_by = $3, resolved_at = $4
    WHERE contradiction_id = $1 AND reason IN ('second_payment', 'order_closed') AND resolution IS NULL";

/// Writes that it was dismissed, unless it is already: the first note stays.
pub async fn dismiss(
    database: &Database,
    id: Uuid,
    decision: &Resolve,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let client = database.client().await?;
    let dismiss = client.prepare_cached(DISMISS).await?;
    client.execute(&dismiss, &[&id, &decision.note.as_str(), &decision.by.as_str(), &now]).await?;
    Ok(())
}

const COUNT_OPEN: &str = concat!(
    "SELECT p.reason, count(*)",
    contradictions!(),
    " AND p.resolution IS NULL AND NOT ",
    handled!(),
    " GROUP BY p.reason"
);

/// How many are open, by reason.
pub async fn count_open(database: &Database) -> Result<Vec<(String, i64)>, Error> {
    let client = database.client().await?;
    let count = client.prepare_cached(COUNT_OPEN).await?;
    let rows = client.query(&count, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

fn contradiction(row: &Row) -> Result<Contradiction, Error> {
    let resolution = match row.try_get::<_, Option<Parsed<Action>>>("resolution")? {
        Some(Parsed(action)) => Some(Resolution {
            action,
            note: row.try_get("note")?,
            by: row.try_get("resolved_by")?,
            at: row.try_get("resolved_at")?,
        }),
        None => None,
    };
    Ok(Contradiction {
        contradiction_id: row.try_get("contradiction_id")?,
        source: "order-service".to_owned(),
        reason: row.try_get("reason")?,
        merchant_id: row.try_get("merchant_id")?,
        order_no: row.try_get("order_no")?,
        pay_order_no: row.try_get("pay_order_no")?,
        account: None,
        channel_trade_no: None,
        ours: row.try_get("ours")?,
        theirs: vec![row.try_get("theirs")?],
        count: 1,
        first_seen_at: row.try_get("first_seen")?,
        last_seen_at: row.try_get("parked_at")?,
        resolution,
    })
}
