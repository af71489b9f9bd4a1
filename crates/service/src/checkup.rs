//! What every service tells `payrelay doctor` of itself, at `GET /admin/checkup`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// What all services tell. `D` is what they see of their database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkup<D> {
    /// As `ingress`.
    pub service: String,
    /// The version of the program.
    pub version: String,
    /// The service's clock, in milliseconds since 1970.
    pub now_unix_ms: i64,
    /// `PAYRELAY_RETENTION_DAYS`
    pub retention_days: u16,
    /// `PAYRELAY_RETRY_DELAYS`, each delay in the largest unit that divides it.
    pub retry_delays: String,
    /// Connections of the pool that its own work may hold at once, besides those of requests.
    pub workers: usize,
    /// Connections to the database that it holds besides the pool.
    pub sessions: usize,
    /// What it sees of its database.
    pub database: D,
}

/// What a service is told and made of, and does not change while it runs.
#[derive(Clone, Debug)]
pub struct StaticInfo {
    /// As `ingress`.
    pub service: &'static str,
    /// `PAYRELAY_RETENTION_DAYS`
    pub retention_days: u16,
    /// `PAYRELAY_RETRY_DELAYS`
    pub retry_delays: String,
    /// As [`Checkup::workers`].
    pub workers: usize,
    /// As [`Checkup::sessions`].
    pub sessions: usize,
}

impl<D> Checkup<D> {
    /// A checkup as of now.
    pub fn new(fixed: &StaticInfo, database: D) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            service: fixed.service.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now_unix_ms: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
            retention_days: fixed.retention_days,
            retry_delays: fixed.retry_delays.clone(),
            workers: fixed.workers,
            sessions: fixed.sessions,
            database,
        }
    }
}
