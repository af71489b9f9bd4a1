//! `/admin/…`: what operators and the command line need to know and to change. Behind the admin token.

mod audit;
mod contradictions;
mod merchants;
mod trial_balance;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use events::OrderNo;
use events::trace::{Step, Trace};
use serde::Deserialize;
use service::Problem;
use service::extract::{Json, Path};

use crate::app::{App, unavailable};
use crate::store;

/// The longest listing.
const MAX_LIMIT: i64 = 1000;

/// The routes, with their full paths.
pub(crate) fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/admin/merchants", get(merchants::list))
        .route("/admin/merchants/{merchant_id}", get(merchants::show).put(merchants::put))
        .route("/admin/merchants/{merchant_id}/rotate-key", post(merchants::rotate_key))
        .route("/admin/contradictions", get(contradictions::list))
        .route("/admin/contradictions/{contradiction_id}", get(contradictions::show))
        .route("/admin/contradictions/{contradiction_id}/resolve", post(contradictions::resolve))
        .route("/admin/trace/{order_no}", get(trace))
        .route("/admin/audit", get(audit::report))
        .route("/admin/audit/events", get(audit::events))
        .route("/admin/trial-balance", get(trial_balance::trial_balance))
        .with_state(app)
}

/// How much of a listing is wanted: 1 to 1000, by default 100.
#[derive(Debug, Deserialize)]
struct Limit {
    #[serde(default = "default_limit")]
    limit: i64,
}

const fn default_limit() -> i64 {
    100
}

impl Limit {
    fn get(&self) -> i64 {
        self.limit.clamp(1, MAX_LIMIT)
    }
}

/// `GET /admin/trace/{order_no}`: everything that is known of an order.
async fn trace(State(app): State<Arc<App>>, Path(order_no): Path<OrderNo>) -> Result<Json<Trace>, Problem> {
    let client = app.database.client().await.map_err(unavailable)?;
    let steps = store::trace::steps(&client, order_no.as_str()).await.map_err(unavailable)?;
    let steps =
        steps.into_iter().map(|(at, step, detail)| Step { at, service: "ingress".to_owned(), step, detail });
    Ok(Json(Trace { steps: steps.collect() }))
}
