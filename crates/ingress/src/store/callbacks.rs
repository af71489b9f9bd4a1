//! Raw callbacks, as they came in.

use storage::{Error, GenericClient, Transaction};
use uuid::Uuid;

use crate::facts::{Job, Outcome, RawCallback};

const INSERT: &str = "
    INSERT INTO pay.callbacks (received_at, callback_id, account, dedupe_id, pay_order_no, outcome, reason, traceparent,
        headers, body)
    SELECT * FROM UNNEST($1::timestamptz[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::jsonb[], $10::bytea[])";

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
