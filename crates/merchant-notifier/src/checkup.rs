//! `GET /admin/checkup`: what `payrelay doctor` must know of this service.

use axum::Router;
use events::MerchantId;
use ipnet::IpNet;
use runtime::{ApiError, Checkups};
use serde::Serialize;
use service::checkup::StaticInfo;
use storage::Database;

use crate::Config;
use crate::store::retention;

/// Four consumers, the dispatcher and the maintenance.
const WORKERS: usize = 6;

/// What this service alone tells.
#[derive(Debug, Clone, Serialize)]
struct More {
    default_merchant_id: Option<MerchantId>,
    allowed_networks: Vec<IpNet>,
}

/// The route, without the token that protects it.
pub(crate) fn router(database: Database, config: &Config) -> Router {
    let fixed = StaticInfo {
        service: "merchant-notifier",
        retention_days: config.retention_days,
        retry_delays: config.retry_delays.to_string(),
        workers: WORKERS,
        sessions: 0,
    };
    let more = More {
        default_merchant_id: config.default_merchant_id.clone(),
        allowed_networks: config.allowed_networks.clone(),
    };
    let checkups = Checkups { database, tables: retention::partitioned(config.retention_days), fixed };
    checkups.router(move || std::future::ready(Ok::<_, ApiError>(more.clone())))
}
