//! `GET /admin/checkup`: what `payrelay doctor` must know of this service.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::Serialize;
use service::Problem;
use service::checkup::{Checkup, Fixed};
use service::extract::Json;
use storage::Database;
use time::OffsetDateTime;

use crate::Config;
use crate::app::unavailable;
use crate::channels_file::Channels;
use crate::store::{self, outbox};

/// Two writers, the sweeper, the gauges and the maintenance; the relay of each shard besides.
const WORKERS: usize = 5;

#[derive(Debug, Clone)]
struct Source {
    database: Database,
    fixed: Fixed,
    channels: Channels,
    management_url: Option<String>,
}

#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    common: Checkup<storage::Checkup>,
    channel_accounts: usize,
    /// Where the management API of RabbitMQ is, without credentials.
    management_url: Option<String>,
    /// The oldest event that the broker has not confirmed.
    #[serde(with = "time::serde::rfc3339::option")]
    oldest_pending: Option<OffsetDateTime>,
}

/// The route, without the token that protects it.
pub(crate) fn router(database: Database, config: &Config, management_url: Option<String>) -> Router {
    let shards = usize::try_from(config.outbox_shards).unwrap_or_default();
    let fixed = Fixed {
        service: "ingress",
        retention_days: config.retention_days,
        retry_delays: config.retry_delays.to_string(),
        workers: WORKERS + shards,
        // Every replica seeks to lead every shard, on a session of its own.
        sessions: shards,
    };
    let channels = config.channels.clone();
    let source = Source { database, fixed, channels, management_url };
    Router::new().route("/admin/checkup", get(checkup)).with_state(source)
}

async fn checkup(State(source): State<Source>) -> Result<Json<Answer>, Problem> {
    let Source { database, fixed, channels, management_url } = source;
    let tables = store::partitioned(fixed.retention_days);
    let seen = database.checkup(&tables).await.map_err(unavailable)?;
    let client = database.client().await.map_err(unavailable)?;
    let oldest_pending = outbox::backlog(&client).await.map_err(unavailable)?.oldest;
    let common = Checkup::new(&fixed, seen);
    let channel_accounts = channels.current().names().count();
    Ok(Json(Answer { common, channel_accounts, management_url, oldest_pending }))
}
