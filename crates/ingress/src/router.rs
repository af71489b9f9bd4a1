//! The routes of the public HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use service::http::{Limits, Listener, with_standard_layers};

use crate::state::App;
use crate::{accounts, balance_payment, callbacks, pay_orders, recharges};

/// Longest request: the longest long poll and something for its queries.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(40);
/// Largest body of a merchant's request; callbacks may be larger.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The public HTTP of the ingress.
pub(crate) fn router(app: Arc<App>) -> Router {
    let routes = Router::new()
        .route("/v1/pay-orders", post(pay_orders::create).get(pay_orders::get_by_order))
        .route("/v1/pay-orders/{pay_order_no}", get(pay_orders::get_by_number))
        .route("/v1/pay-orders/{pay_order_no}/close", post(pay_orders::close))
        .route("/v1/pay-orders/{pay_order_no}/balance-payment", post(balance_payment::pay))
        .route("/v1/accounts", post(accounts::create))
        .route("/v1/accounts/{user_id}", get(accounts::get))
        .route("/v1/accounts/{user_id}/flows", get(accounts::flows))
        .route("/v1/recharges", post(recharges::create))
        .route("/v1/recharges/{recharge_no}", get(recharges::get))
        .route("/v1/callbacks/{channel_account}", post(callbacks::receive))
        .route("/openapi.yaml", get(openapi))
        .with_state(app);
    with_standard_layers(
        routes,
        Listener::Public,
        Limits { timeout: REQUEST_TIMEOUT, max_body_bytes: MAX_BODY_BYTES },
    )
}

async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/yaml")], include_str!("../openapi.yaml"))
}
