//! `GET /admin/checkup`: what `payrelay doctor` must know of this service.

use axum::Router;
use runtime::{ApiError, Checkups};
use serde::Serialize;
use service::checkup::StaticInfo;
use storage::Database;
use time::OffsetDateTime;

use crate::Config;
use crate::relay::Relaying;
use crate::store::{self, outbox};

/// Two writers, the sweeper, the gauges and the maintenance; the relay of each shard besides, and the session by which it leads
/// or seeks to lead.
const WORKERS: usize = 5;

/// What this service alone tells.
#[derive(Debug, Serialize)]
struct More {
    channel_accounts: usize,
    /// Where the management API of RabbitMQ is, without credentials.
    management_url: Option<String>,
    /// The oldest event that the broker has not confirmed.
    #[serde(with = "time::serde::rfc3339::option")]
    oldest_pending: Option<OffsetDateTime>,
    /// Why nobody seems to relay.
    not_relayed: Option<String>,
}

/// The route, without the token that protects it.
pub(crate) fn router(
    database: Database,
    config: &Config,
    management_url: Option<String>,
    relaying: Relaying,
) -> Router {
    let shards = usize::try_from(config.outbox_shards).unwrap_or_default();
    let fixed = StaticInfo {
        service: "ingress",
        retention_days: config.retention_days,
        retry_delays: config.retry_delays.to_string(),
        workers: WORKERS + 2 * shards,
        sessions: 0,
    };
    let channels = config.channels.clone();
    let tables = store::partitioned(config.retention_days);
    let checkups = Checkups { database: database.clone(), tables, fixed };
    checkups.router(move || {
        let (database, channels, relaying) = (database.clone(), channels.clone(), relaying.clone());
        let management_url = management_url.clone();
        async move {
            let oldest_pending = outbox::backlog(&database.client().await?).await?.oldest;
            let not_relayed = relaying.explained(&database, OffsetDateTime::now_utc()).await;
            let channel_accounts = channels.current().names().count();
            Ok::<_, ApiError>(More { channel_accounts, management_url, oldest_pending, not_relayed })
        }
    })
}
