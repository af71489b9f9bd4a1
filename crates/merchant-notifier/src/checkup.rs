//! `GET /admin/checkup`: what `payrelay doctor` must know of this service.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use events::MerchantId;
use ipnet::IpNet;
use serde::Serialize;
use service::Problem;
use service::checkup::{Checkup, Fixed};
use service::extract::Json;
use storage::Database;

use crate::Config;
use crate::store::retention;

/// Four consumers, the dispatcher and the maintenance.
const WORKERS: usize = 6;

#[derive(Debug, Clone)]
struct Source {
    database: Database,
    fixed: Fixed,
    default_merchant_id: Option<MerchantId>,
    allowed_networks: Vec<IpNet>,
}

#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    common: Checkup<storage::Checkup>,
    default_merchant_id: Option<MerchantId>,
    allowed_networks: Vec<IpNet>,
}

/// The route, without the token that protects it.
pub(crate) fn router(database: Database, config: &Config) -> Router {
    let fixed = Fixed {
        service: "merchant-notifier",
        retention_days: config.retention_days,
        retry_delays: config.retry_delays.to_string(),
        workers: WORKERS,
        sessions: 0,
    };
    let source = Source {
        database,
        fixed,
        default_merchant_id: config.default_merchant.clone(),
        allowed_networks: config.allowed_networks.clone(),
    };
    Router::new().route("/admin/checkup", get(checkup)).with_state(source)
}

async fn checkup(State(source): State<Source>) -> Result<Json<Answer>, Problem> {
    let Source { database, fixed, default_merchant_id, allowed_networks } = source;
    let looked = database.checkup(&retention::partitioned(fixed.retention_days)).await;
    let seen = looked.map_err(|error| {
        tracing::warn!(%error, "the database could not be looked at");
        Problem::unavailable("the database is not available")
    })?;
    Ok(Json(Answer { common: Checkup::new(&fixed, seen), default_merchant_id, allowed_networks }))
}
