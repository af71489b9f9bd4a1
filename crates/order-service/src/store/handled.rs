//! `orders.handled`: every event with what became of it.

use events::PayEvent;
use storage::{Error, Transaction};

use super::Origin;

macro_rules! insert {
    () => {
        "INSERT INTO orders.handled
            (occurred_at, event_id, type, outcome, merchant_id, order_no, pay_order_no, upstream, traceparent)
        SELECT *
        FROM unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                    $8::bool[], $9::text[])
            AS h (occurred_at, event_id, type, outcome, merchant_id, order_no, pay_order_no, upstream, traceparent)"
    };
}

/// Takes half the time of the careful one, in which every row asks the catalog for its day, and looks for itself twice.
const INSERT_NEW: &str = insert!();

/// An event of a day without a partition leaves no row: it is older than the retention. The order still guards it.
const INSERT: &str = concat!(
    insert!(),
    " WHERE to_regclass('orders.handled_p' || to_char(h.occurred_at AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL
    ON CONFLICT DO NOTHING"
);

/// What became of an event that was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandledOutcome {
    /// It changed its order.
    Applied,
    /// Its order knew it already.
    Duplicate,
    /// It belongs to the books of somebody else.
    NotMine,
}

/// A row of the log.
#[derive(Debug)]
pub struct Handled<'a> {
    /// The event.
    pub event: &'a PayEvent,
    /// What became of it.
    pub outcome: HandledOutcome,
    /// How it came.
    pub origin: &'a Origin,
}

impl HandledOutcome {
    /// The name used in the database and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::NotMine => "not_mine",
        }
    }
}

/// Logs events. Of one event, what was logged first stays: a redelivery finds it applied, and that it was. Without
/// `careful` the server rejects all of them if one was logged before, or belongs to a day without a partition.
pub async fn insert(tx: &Transaction<'_>, mut rows: Vec<Handled<'_>>, careful: bool) -> Result<(), Error> {
    // A stable sort: of the rows of one event the first remains.
    rows.sort_by_key(|row| (row.event.occurred_at, row.event.event_id));
    rows.dedup_by_key(|row| (row.event.occurred_at, row.event.event_id));
    if rows.is_empty() {
        return Ok(());
    }
    let times: Vec<_> = rows.iter().map(|row| row.event.occurred_at).collect();
    let ids: Vec<_> = rows.iter().map(|row| row.event.event_id.0).collect();
    let types: Vec<_> = rows.iter().map(|row| row.event.event_type.as_str()).collect();
    let outcomes: Vec<_> = rows.iter().map(|row| row.outcome.as_str()).collect();
    let merchants: Vec<_> = rows.iter().map(|row| row.event.order.merchant_id.as_str()).collect();
    let order_nos: Vec<_> = rows.iter().map(|row| row.event.order.order_no.as_str()).collect();
    let pay_order_nos: Vec<_> = rows.iter().map(|row| row.event.order.pay_order_no.as_str()).collect();
    let upstreams: Vec<_> = rows.iter().map(|row| row.origin.upstream).collect();
    let traces: Vec<_> = rows.iter().map(|row| row.origin.traceparent.as_deref()).collect();
    let insert = tx.prepare_cached(if careful { INSERT } else { INSERT_NEW }).await?;
    tx.execute(
        &insert,
        &[&times, &ids, &types, &outcomes, &merchants, &order_nos, &pay_order_nos, &upstreams, &traces],
    )
    .await?;
    Ok(())
}
