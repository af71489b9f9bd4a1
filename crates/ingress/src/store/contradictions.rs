//! Contradictions: one row per pay order, reason and channel trade, with what both sides say, and what was decided.

mod stated;

use std::collections::BTreeMap;
use std::iter::once;

use admin_api::contradiction::{Action, Contradiction as Shown, ContradictionsQuery, Resolution, Resolve};
use events::{ContradictionReason, Fact, PayOrder, PayOrderNo};
use serde_json::{Value, json};
use storage::{Client, Error, GenericClient, Transaction};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use self::stated::Stated;
use super::Parsed;
use crate::facts::Contradiction;

/// All that the row states: rows of older versions hold only what was stated first, which was no single refund.
macro_rules! stated {
    () => {
        "(CASE WHEN c.stated = '{}' THEN jsonb_build_object(c.theirs ->> 'kind', c.theirs) ELSE c.stated END)"
    };
}

/// Of each kind the latest is kept, of cumulative refunds the largest, and every refund that was stated by itself.
const RECORD: &str = concat!(
    "INSERT INTO pay.contradictions AS c (pay_order_no, reason, channel_trade_no, account, merchant_id, order_no, ours,
        theirs, stated, count, first_seen_at, last_seen_at)
    SELECT n.*, $11, $11
    FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[], $8::jsonb[],
        $9::jsonb[], $10::bigint[])
        AS n (pay_order_no, reason, channel_trade_no, account, merchant_id, order_no, ours, theirs, stated, count)
    ORDER BY n.pay_order_no, n.reason, n.channel_trade_no
    ON CONFLICT (pay_order_no, reason, channel_trade_no) DO UPDATE
    SET count = c.count + excluded.count, last_seen_at = excluded.last_seen_at,
        stated = CASE
            WHEN (",
    stated!(),
    " #>> '{refunded,refunded_minor}')::bigint > (excluded.stated #>> '{refunded,refunded_minor}')::bigint
            THEN excluded.stated || ",
    stated!(),
    " ELSE ",
    stated!(),
    " || excluded.stated END"
);

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
    let theirs: Vec<_> = new.iter().map(|new| Json(Stated::from(&new.theirs))).collect();
    let stated: Vec<_> = new.iter().map(|new| Json(by_key(new))).collect();
    let counts: Vec<_> = new.iter().map(|new| new.count).collect();
    let statement = tx.prepare_cached(RECORD).await?;
    tx.execute(
        &statement,
        &[
            &numbers, &reasons, &trades, &accounts, &merchants, &orders, &ours, &theirs, &stated, &counts,
            &now,
        ],
    )
    .await?;
    Ok(())
}

fn by_key(new: &Contradiction) -> BTreeMap<String, Stated> {
    once(&new.theirs).chain(&new.also).map(Stated::from).map(|stated| (stated.key(), stated)).collect()
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
        "paid_at": order.paid_at.and_then(|time| time.format(&Rfc3339).ok()),
    })
}

/// A contradiction as it is stored.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) pay_order_no: PayOrderNo,
    pub(crate) reason: ContradictionReason,
    /// What moved money, in the order in which it is to be accepted.
    pub(crate) payment: Vec<Fact>,
    pub(crate) shown: Shown,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT c.contradiction_id, c.pay_order_no, c.merchant_id, c.order_no, c.reason, c.channel_trade_no, c.account,
                c.ours, ",
            stated!(),
            " AS stated, c.count, c.first_seen_at, c.last_seen_at, c.resolution, c.note, c.resolved_by, c.resolved_at
             FROM pay.contradictions c ",
            $rest
        )
    };
}

const LIST: &str = select!(
    "WHERE ($1::boolean IS NULL OR (c.resolution IS NOT NULL) = $1) AND ($2::text IS NULL OR c.reason = $2)
     ORDER BY c.last_seen_at DESC LIMIT $3"
);
const LIST_OPEN: &str = select!(
    "WHERE c.resolution IS NULL AND ($1::text IS NULL OR c.reason = $1) ORDER BY c.last_seen_at DESC LIMIT $2"
);

/// Those that are wanted, the latest first.
pub(crate) async fn list(
    client: &Client,
    wanted: &ContradictionsQuery<ContradictionReason>,
) -> Result<Vec<Shown>, Error> {
    let (reason, limit) = (wanted.reason.map(ContradictionReason::as_str), wanted.limit.get());
    let rows = match wanted.status.resolved() {
        // A statement of its own, for which the index of the open ones is good.
        Some(false) => client.query(&client.prepare_cached(LIST_OPEN).await?, &[&reason, &limit]).await?,
        resolved => client.query(&client.prepare_cached(LIST).await?, &[&resolved, &reason, &limit]).await?,
    };
    rows.iter().map(|row| Ok(stored(row)?.shown)).collect()
}

const FIND: &str = select!("WHERE c.contradiction_id = $1");

/// One contradiction.
pub(crate) async fn find(client: &impl GenericClient, id: Uuid) -> Result<Option<Stored>, Error> {
    let statement = client.prepare_cached(FIND).await?;
    client.query_opt(&statement, &[&id]).await?.as_ref().map(stored).transpose()
}

const LOCK: &str = select!("WHERE c.contradiction_id = $1 FOR UPDATE");

/// The same, locked. Whoever locks its pay order, too, does that before, as the writer of facts does.
pub(crate) async fn lock(tx: &Transaction<'_>, id: Uuid) -> Result<Option<Stored>, Error> {
    let statement = tx.prepare_cached(LOCK).await?;
    tx.query_opt(&statement, &[&id]).await?.as_ref().map(stored).transpose()
}

const RESOLVE: &str = "
    UPDATE pay.contradictions SET resolution = $2, note = $3, resolved_by = $4, resolved_at = $5
    WHERE contradiction_id = $1";

/// Writes the decision. The row is locked, and open.
pub(crate) async fn resolve(
    tx: &Transaction<'_>,
    id: Uuid,
    resolve: &Resolve,
    now: OffsetDateTime,
) -> Result<Resolution, Error> {
    let Resolve { action, note, by } = resolve;
    let statement = tx.prepare_cached(RESOLVE).await?;
    tx.execute(&statement, &[&id, &action.as_str(), &note.as_str(), &by.as_str(), &now]).await?;
    Ok(Resolution { action: *action, note: note.as_str().to_owned(), by: by.as_str().to_owned(), at: now })
}

const COUNT_OPEN: &str =
    "SELECT reason, count(*) FROM pay.contradictions WHERE resolution IS NULL GROUP BY reason";

/// How many are open, by reason.
pub(crate) async fn count_open(client: &Client) -> Result<Vec<(String, i64)>, Error> {
    let statement = client.prepare_cached(COUNT_OPEN).await?;
    let rows = client.query(&statement, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

fn stored(row: &Row) -> Result<Stored, Error> {
    let Json(stated): Json<BTreeMap<String, Stated>> = row.try_get("stated")?;
    let mut stated: Vec<_> = stated.into_values().collect();
    stated.sort_by_key(|stated| stated.kind);
    let pay_order_no: Parsed<PayOrderNo> = row.try_get("pay_order_no")?;
    let reason: Parsed<ContradictionReason> = row.try_get("reason")?;
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let shown = Shown {
        contradiction_id: row.try_get("contradiction_id")?,
        source: "ingress".to_owned(),
        reason: reason.0.to_string(),
        merchant_id: row.try_get("merchant_id")?,
        order_no: row.try_get("order_no")?,
        pay_order_no: Some(pay_order_no.0.to_string()),
        account: some(row.try_get("account")?),
        channel_trade_no: some(row.try_get("channel_trade_no")?),
        ours: row.try_get("ours")?,
        theirs: stated.iter().map(|stated| json!(stated)).collect(),
        count: row.try_get("count")?,
        first_seen_at: row.try_get("first_seen_at")?,
        last_seen_at: row.try_get("last_seen_at")?,
        resolution: resolution(row)?,
    };
    let payment = stated.iter().filter_map(Stated::accepted).collect();
    Ok(Stored { pay_order_no: pay_order_no.0, reason: reason.0, payment, shown })
}

fn resolution(row: &Row) -> Result<Option<Resolution>, Error> {
    let Some(Parsed(action)) = row.try_get::<_, Option<Parsed<Action>>>("resolution")? else {
        return Ok(None);
    };
    let (note, by, at) = (row.try_get("note")?, row.try_get("resolved_by")?, row.try_get("resolved_at")?);
    Ok(Some(Resolution { action, note, by, at }))
}
