//! Which events of a window were committed, and which of them the broker has confirmed.

use events::audit::{Entry, Stage};
use events::{EventId, EventType};
use storage::{Client, Error};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Parsed;

const ENTRIES: &str = "
    SELECT e.event_id, e.occurred_at, e.type, o.event_id IS NULL AS published
    FROM pay.events e
    LEFT JOIN pay.outbox_pending o ON o.event_id = e.event_id
    WHERE e.occurred_at >= $1 AND e.occurred_at < $2";

/// Every event of the window: published, or only committed as long as it is pending.
pub(crate) async fn entries(
    client: &Client,
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> Result<Vec<Entry>, Error> {
    let statement = client.prepare_cached(ENTRIES).await?;
    let rows = client.query(&statement, &[&from, &to]).await?;
    let entries = rows.iter().map(|row| {
        let published = row.try_get("published")?;
        Ok(Entry {
            event_id: EventId(row.try_get::<_, Uuid>("event_id")?),
            occurred_at: row.try_get("occurred_at")?,
            event_type: row.try_get::<_, Parsed<EventType>>("type")?.0,
            stage: if published { Stage::Published } else { Stage::Committed },
            upstream: false,
        })
    });
    entries.collect()
}
