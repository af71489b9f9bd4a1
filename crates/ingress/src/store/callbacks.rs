//! Raw callbacks, as they came in.

use events::PayOrderNo;
use service::TraceParent;
use storage::{Database, Error, GenericClient, Transaction};
use uuid::Uuid;

use crate::facts::{Job, Outcome, RawCallback};

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

const KEEP: &str = "
    INSERT INTO pay.callbacks (received_at, callback_id, account, dedupe_id, pay_order_no, outcome, reason, traceparent,
        headers, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

/// Inserts one that changes nothing, in a transaction of its own. Without a pay order its number is empty.
pub(crate) async fn keep(database: &Database, kept: &Kept) -> Result<(), Error> {
    let Kept { raw, pay_order_no, outcome, reason, parent } = kept;
    let number = pay_order_no.as_ref().map_or("", PayOrderNo::as_str);
    let client = database.client().await?;
    let statement = client.prepare_cached(KEEP).await?;
    client
        .execute(
            &statement,
            &[
                &raw.received_at,
                &Uuid::now_v7(),
                &raw.account,
                &raw.dedupe_id,
                &number,
                outcome,
                reason,
                &parent.to_string(),
                &raw.headers,
                &raw.body.as_ref(),
            ],
        )
        .await?;
    Ok(())
}

/// Inserts the callbacks of those jobs that came by one, each with its outcome.
pub(crate) async fn insert(tx: &Transaction<'_>, jobs: &[Job], outcomes: &[Outcome]) -> Result<(), Error> {
    let rows: Vec<(&Job, &RawCallback, Outcome)> = jobs
        .iter()
        .zip(outcomes)
        .filter_map(|(job, outcome)| Some((job, job.callback.as_ref()?, *outcome)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let received_at: Vec<_> = rows.iter().map(|(_, raw, _)| raw.received_at).collect();
    let ids: Vec<_> = rows.iter().map(|_| Uuid::now_v7()).collect();
    let accounts: Vec<_> = rows.iter().map(|(_, raw, _)| raw.account.as_str()).collect();
    let dedupe_ids: Vec<_> = rows.iter().map(|(_, raw, _)| raw.dedupe_id.as_str()).collect();
    let numbers: Vec<_> = rows.iter().map(|(job, ..)| job.pay_order_no.as_str()).collect();
    let outcomes: Vec<_> = rows.iter().map(|(.., outcome)| outcome.as_str()).collect();
    let reasons: Vec<_> = rows.iter().map(|(.., outcome)| outcome.reason()).collect();
    let traces: Vec<_> = rows.iter().map(|(job, ..)| job.trace.parent.to_string()).collect();
    let headers: Vec<_> = rows.iter().map(|(_, raw, _)| &raw.headers).collect();
    let bodies: Vec<&[u8]> = rows.iter().map(|(_, raw, _)| raw.body.as_ref()).collect();
    let statement = tx.prepare_cached(INSERT).await?;
    tx.execute(
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
