//! `GET /admin/checkup`: what `payrelay doctor` must know of this service.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use events::MerchantId;
use serde::Serialize;
use service::checkup::{Checkup, Fixed};
use service::extract::Json;
use storage::Database;

use crate::failure::Failure;
use crate::{Config, store};

/// Four consumers and the maintenance.
const WORKERS: usize = 5;

#[derive(Debug, Clone)]
struct Source {
    database: Database,
    fixed: Fixed,
    default_merchant_id: Option<MerchantId>,
}

#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    common: Checkup<storage::Checkup>,
    default_merchant_id: Option<MerchantId>,
}

/// The route, without the token that protects it.
pub(crate) fn router(database: Database, config: &Config) -> Router {
    let fixed = Fixed {
        service: "order-service",
        retention_days: config.retention_days,
        retry_delays: config.retry_delays.to_string(),
        workers: WORKERS,
        sessions: 0,
    };
    let source = Source { database, fixed, default_merchant_id: config.default_merchant_id.clone() };
    Router::new().route("/admin/checkup", get(checkup)).with_state(source)
}

async fn checkup(State(source): State<Source>) -> Result<Json<Answer>, Failure> {
    let Source { database, fixed, default_merchant_id } = source;
    let seen = database.checkup(&[store::handled_table(fixed.retention_days)]).await?;
    Ok(Json(Answer { common: Checkup::new(&fixed, seen), default_merchant_id }))
}
