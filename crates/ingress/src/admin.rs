//! `/admin/…`: what operators and the command line need to know and to change. Behind the admin token.

mod audit;
mod contradictions;
mod merchants;
mod republish;
mod trial_balance;

use std::sync::Arc;

use admin_api::trace::{Trace, TraceStep};
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use events::OrderNo;
use runtime::ApiError;
use service::extract::{Json, Path};

use crate::state::App;
use crate::store;

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
        .route("/admin/events/republish", post(republish::republish))
        .route("/admin/trial-balance", get(trial_balance::trial_balance))
        .with_state(app)
}

/// `GET /admin/trace/{order_no}`: everything that is known of an order.
async fn trace(State(app): State<Arc<App>>, Path(order_no): Path<OrderNo>) -> Result<Json<Trace>, ApiError> {
    let client = app.database.client().await?;
    let steps = store::trace::steps(&client, order_no.as_str()).await?;
    let steps = steps.into_iter().map(|(at, step, detail)| TraceStep {
        at,
        service: "ingress".to_owned(),
        step,
        detail,
    });
    Ok(Json(Trace { steps: steps.collect() }))
}
