//! Contradictions: one row per pay order, reason and channel trade, with what both sides say.

use events::{Fact, FactKind, PayOrder};
use serde_json::{Value, json};
use storage::{Client, Error, GenericClient, Transaction};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_postgres::Row;

use crate::facts::Contradiction;

const RECORD: &str = "
    INSERT INTO pay.contradictions AS c (pay_order_no, reason, channel_trade_no, account, merchant_id, order_no, ours,
        theirs, count, first_seen_at, last_seen_at)
    SELECT n.*, $10, $10
    FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[], $8::jsonb[],
        $9::bigint[]) AS n (pay_order_no, reason, channel_trade_no, account, merchant_id, order_no, ours, theirs, count)
    ORDER BY n.pay_order_no, n.reason, n.channel_trade_no
    ON CONFLICT (pay_order_no, reason, channel_trade_no) DO UPDATE
    SET count = c.count + excluded.count, last_seen_at = excluded.last_seen_at";

/// Records contradictions; those that are known already are counted. Each key at most once.
pub(crate) async fn record(
    tx: &Transaction<'_>,
    new: &[Contradiction],
    now: OffsetDateTime,
) -> Result<(), Error> {
    if new.is_empty() {
        return Ok(());
    }
    let numbers: Vec<_> = new.iter().map(|new| new.pay_order_no.as_str()).collect();
    let reasons: Vec<_> = new.iter().map(|new| new.reason.as_str()).collect();
    let trades: Vec<_> =
        new.iter().map(|new| new.theirs.channel_trade_no.as_deref().unwrap_or_default()).collect();
    let accounts: Vec<_> =
        new.iter().map(|new| new.theirs.account.as_ref().map_or("", |account| account.as_str())).collect();
    let merchants: Vec<_> =
        new.iter().map(|new| new.ours.as_ref().map(|order| order.merchant_id.as_str())).collect();
    let orders: Vec<_> =
        new.iter().map(|new| new.ours.as_ref().map(|order| order.order_no.as_str())).collect();
    let ours: Vec<_> = new.iter().map(|new| new.ours.as_ref().map(order_json)).collect();
    let theirs: Vec<_> = new.iter().map(|new| fact_json(&new.theirs)).collect();
    let counts: Vec<_> = new.iter().map(|new| new.count).collect();
    let statement = tx.prepare_cached(RECORD).await?;
    tx.execute(
        &statement,
        &[&numbers, &reasons, &trades, &accounts, &merchants, &orders, &ours, &theirs, &counts, &now],
    )
    .await?;
    Ok(())
}

fn order_json(order: &PayOrder) -> Value {
    json!({
        "status": order.status,
        "version": order.version,
        "amount_minor": order.amount.amount_minor,
        "currency": order.amount.currency,
        "refunded_minor": order.refunded_minor,
        "channel": order.channel,
        "channel_trade_no": order.channel_trade_no,
        "paid_at": order.paid_at.and_then(rfc3339),
    })
}

fn fact_json(fact: &Fact) -> Value {
    let (kind, at, refunded_minor) = match fact.kind {
        FactKind::Submitted => ("submitted", None, None),
        FactKind::Succeeded { paid_at } => ("succeeded", Some(paid_at), None),
        FactKind::Failed => ("failed", None, None),
        FactKind::Closed => ("closed", None, None),
        FactKind::Refunded { refunded_minor, refunded_at } => {
            ("refunded", Some(refunded_at), Some(refunded_minor))
        }
    };
    json!({
        "kind": kind,
        "at": at.and_then(rfc3339),
        "amount_minor": fact.amount.map(|amount| amount.amount_minor),
        "currency": fact.amount.map(|amount| amount.currency),
        "refunded_minor": refunded_minor,
        "channel": fact.account,
        "channel_trade_no": fact.channel_trade_no,
    })
}

fn rfc3339(time: OffsetDateTime) -> Option<String> {
    time.format(&Rfc3339).ok()
}

/// A contradiction as it is shown to operators.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Listed {
    pub(crate) pay_order_no: String,
    pub(crate) merchant_id: Option<String>,
    pub(crate) order_no: Option<String>,
    pub(crate) reason: String,
    pub(crate) channel_trade_no: String,
    pub(crate) account: String,
    /// What is known; null if there is no such pay order.
    pub(crate) ours: Option<Value>,
    /// What is stated.
    pub(crate) theirs: Value,
    pub(crate) count: i64,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) first_seen_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) last_seen_at: OffsetDateTime,
}

const LIST: &str = "
    SELECT pay_order_no, merchant_id, order_no, reason, channel_trade_no, account, ours, theirs, count, first_seen_at,
        last_seen_at
    FROM pay.contradictions ORDER BY last_seen_at DESC LIMIT $1";

/// The latest contradictions.
pub(crate) async fn list(client: &Client, limit: i64) -> Result<Vec<Listed>, Error> {
    let statement = client.prepare_cached(LIST).await?;
    let rows = client.query(&statement, &[&limit]).await?;
    rows.iter().map(listed).collect()
}

fn listed(row: &Row) -> Result<Listed, Error> {
    Ok(Listed {
        pay_order_no: row.try_get("pay_order_no")?,
        merchant_id: row.try_get("merchant_id")?,
        order_no: row.try_get("order_no")?,
        reason: row.try_get("reason")?,
        channel_trade_no: row.try_get("channel_trade_no")?,
        account: row.try_get("account")?,
        ours: row.try_get("ours")?,
        theirs: row.try_get("theirs")?,
        count: row.try_get("count")?,
        first_seen_at: row.try_get("first_seen_at")?,
        last_seen_at: row.try_get("last_seen_at")?,
    })
}
