//! What an operator must know of the server and of a service's tables.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime, UtcOffset};

use crate::partitions::{self, Partitioned};
use crate::{Database, Error};

/// The server as a service sees it, in its own session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkup {
    /// When the server was started: the same for all who are on the same server.
    #[serde(with = "time::serde::rfc3339")]
    pub server_started_at: OffsetDateTime,
    /// As `150018`.
    pub version: i32,
    /// How far the server's clock is ahead of ours, give or take half the time of a question.
    pub ahead_ms: i64,
    /// Connections that the server gives to users like us.
    pub max_connections: i32,
    /// Whether what is committed is on disk: `fsync`.
    pub fsync: bool,
    /// `on` but for somebody who changed it for the server, the database or the user.
    pub synchronous_commit: String,
    /// The most connections that our pool opens.
    pub pool: usize,
    /// Partitions of today and tomorrow that are not there.
    pub missing_partitions: Vec<String>,
    /// Settings of its sessions that are not as they must be.
    #[serde(default)]
    pub differing_settings: Vec<String>,
    /// `UTF8`, or the database cannot hold every text. Empty from a service of an earlier release.
    #[serde(default)]
    pub server_encoding: String,
    /// Why a session is not its owner's alone: a pooler in transaction mode stands in between.
    #[serde(default)]
    pub pooled: Option<String>,
}

/// `reserved_connections` is of PostgreSQL 16 and later.
const LOOK: &str = "
    SELECT pg_postmaster_start_time(), current_setting('server_version_num')::int, clock_timestamp(),
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
            - COALESCE(current_setting('reserved_connections', true), '0')::int,
        current_setting('fsync')::boolean, current_setting('synchronous_commit')";

impl Database {
    /// Looks at the server and at the partitions of `tables` as of now.
    pub async fn checkup(&self, tables: &[Partitioned]) -> Result<Checkup, Error> {
        let client = self.client().await?;
        let look = client.prepare_cached(LOOK).await?;
        let asked_at = OffsetDateTime::now_utc();
        let row = client.query_one(&look, &[]).await?;
        let took: Duration = OffsetDateTime::now_utc() - asked_at;
        let now: OffsetDateTime = asked_at + took / 2;
        let ahead: Duration = row.try_get::<_, OffsetDateTime>(2)? - now;
        let today = now.to_offset(UtcOffset::UTC).date();
        let seen = self.see(&client).await?;
        let pooled = match self.prove(&client).await {
            Err(Error::Unfit(why)) => Some(why),
            _ => None,
        };
        let mut missing_partitions = Vec::new();
        for table in tables {
            missing_partitions.extend(partitions::missing(&client, table, today).await?);
        }
        Ok(Checkup {
            server_started_at: row.try_get(0)?,
            version: row.try_get(1)?,
            ahead_ms: i64::try_from(ahead.whole_milliseconds()).unwrap_or(i64::MAX),
            max_connections: row.try_get(3)?,
            fsync: row.try_get(4)?,
            synchronous_commit: row.try_get(5)?,
            pool: self.max_connections(),
            missing_partitions,
            differing_settings: seen.differing,
            server_encoding: seen.server_encoding,
            pooled,
        })
    }
}
