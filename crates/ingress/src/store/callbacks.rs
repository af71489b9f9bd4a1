//! Raw callbacks, as they came in.

use events::PayOrderNo;
use service::TraceParent;
use storage::{Database, Error, GenericClient, Transaction};
use uuid::Uuid;

use crate::facts::{FactOutcome, Job, RawCallback};

const INSERT: &str = "
    INSERT INTO pay.callbacks (received_at, callback_id, account, dedupe_id, pay_order_no, outcome, reason, traceparent,
        headers, body)
    SELECT * FROM UNNEST($1::timestamptz[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::jsonb[], $10::bytea[])";

/// An authentic callback that changes nothing, for whoever looks into it.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) raw: RawCallback,
    pay_order_no: Option<PayOrderNo>,
    outcome: &'static str,
    reason: &'static str,
    parent: TraceParent,
}

impl Kept {
    /// One that could not be read, or is another account's; `code` says why.
    pub(crate) const fn refused(raw: RawCallback, code: &'static str, parent: TraceParent) -> Self {
        Self { raw, pay_order_no: None, outcome: "refused", reason: code, parent }
    }

    /// One that cannot be booked; `code` says what it is.
    pub(crate) const fn unbooked(
        raw: RawCallback,
        pay_order_no: Option<PayOrderNo>,
        code: &'static str,
        parent: TraceParent,
    ) -> Self {
        Self { raw, pay_order_no, outcome: "unbooked", reason: code, parent }
    }
}

/// Inserts one that changes nothing, in a transaction of its own. Without a pay order its number is empty.
pub(crate) async fn keep(database: &Database, kept: &Kept) -> Result<(), Error> {
    let insert = database.transaction(|tx| {
        Box::pin(async move {
            let row = Row {
                raw: &kept.raw,
                pay_order_no: kept.pay_order_no.as_ref().map_or("", PayOrderNo::as_str),
                outcome: kept.outcome,
                reason: Some(kept.reason),
                parent: kept.parent,
            };
            write(&*tx, &[row]).await
        })
    });
    insert.await
}

/// Inserts the callbacks of those jobs that came by one, each with its outcome.
pub(crate) async fn insert(
    tx: &Transaction<'_>,
    jobs: &[Job],
    outcomes: &[FactOutcome],
) -> Result<(), Error> {
    assert_eq!(jobs.len(), outcomes.len(), "each fact has its outcome");
    let rows = jobs.iter().zip(outcomes).filter_map(|(job, outcome)| {
        Some(Row {
            raw: job.callback.as_ref()?,
            pay_order_no: job.pay_order_no.as_str(),
            outcome: outcome.as_str(),
            reason: outcome.reason(),
            parent: job.trace.parent,
        })
    });
    write(tx, &rows.collect::<Vec<_>>()).await
}

/// What a row is made of.
struct Row<'a> {
    raw: &'a RawCallback,
    pay_order_no: &'a str,
    outcome: &'a str,
    reason: Option<&'a str>,
    parent: TraceParent,
}

async fn write(client: &impl GenericClient, rows: &[Row<'_>]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let received_at: Vec<_> = rows.iter().map(|row| row.raw.received_at).collect();
    let ids: Vec<_> = rows.iter().map(|_| Uuid::now_v7()).collect();
    let accounts: Vec<_> = rows.iter().map(|row| row.raw.account.as_str()).collect();
    let dedupe_ids: Vec<_> = rows.iter().map(|row| row.raw.dedupe_id.as_str()).collect();
    let numbers: Vec<_> = rows.iter().map(|row| row.pay_order_no).collect();
    let outcomes: Vec<_> = rows.iter().map(|row| row.outcome).collect();
    let reasons: Vec<_> = rows.iter().map(|row| row.reason).collect();
    let traces: Vec<_> = rows.iter().map(|row| row.parent.to_string()).collect();
    let headers: Vec<_> = rows.iter().map(|row| &row.raw.headers).collect();
    let bodies: Vec<&[u8]> = rows.iter().map(|row| row.raw.body.as_ref()).collect();
    let statement = client.prepare_cached(INSERT).await?;
    client
        .execute(
            &statement,
            &[
                &received_at,
                &ids,
                &accounts,
                &dedupe_ids,
                &numbers,
                &outcomes,
                &reasons,
                &traces,
                &headers,
                &bodies,
            ],
        )
        .await?;
    Ok(())
}
