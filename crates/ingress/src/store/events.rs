//! Events: written once, in the transaction of their transitions.

use events::codec;
use storage::{Error, GenericClient, Transaction};

use crate::facts::NewEvent;

const INSERT: &str = "
    INSERT INTO pay.events (occurred_at, event_id, pay_order_no, version, type, traceparent, tracestate, payload)
    SELECT * FROM UNNEST($1::timestamptz[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[],
        $8::bytea[])";

/// Inserts events.
pub(crate) async fn insert(tx: &Transaction<'_>, new: &[NewEvent]) -> Result<(), Error> {
    if new.is_empty() {
        return Ok(());
    }
    let occurred_at: Vec<_> = new.iter().map(|new| new.event.occurred_at).collect();
    let ids: Vec<_> = new.iter().map(|new| new.event.event_id.0).collect();
    let numbers: Vec<_> = new.iter().map(|new| new.event.order.pay_order_no.as_str()).collect();
    let versions: Vec<_> = new.iter().map(|new| new.event.order.version).collect();
    let types: Vec<_> = new.iter().map(|new| new.event.event_type.as_str()).collect();
    let parents: Vec<_> = new.iter().map(|new| new.trace.parent.to_string()).collect();
    let states: Vec<_> = new.iter().map(|new| new.trace.state.as_deref()).collect();
    let payloads: Vec<_> = new.iter().map(|new| codec::encode_protobuf(&new.event)).collect();
    let statement = tx.prepare_cached(INSERT).await?;
    tx.execute(&statement, &[&occurred_at, &ids, &numbers, &versions, &types, &parents, &states, &payloads])
        .await?;
    Ok(())
}
