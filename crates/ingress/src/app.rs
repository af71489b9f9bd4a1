//! What the handlers share.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use service::Problem;
use service::http::{Limits, shell};
use storage::Database;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::accounts::{self, Passwords};
use crate::api_keys::KeyCache;
use crate::channels_file::Channels;
use crate::facts::FactWriter;
use crate::pay_orders::{self, PayOrderWriter};
use crate::signals::Signals;
use crate::{balance_payment, callbacks, recharges};

/// Longest request: the longest long poll and something for its queries.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(40);
/// Largest body, of a callback as of anything else.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The state of the ingress.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) database: Database,
    pub(crate) channels: Channels,
    pub(crate) facts: FactWriter,
    pub(crate) pay_orders: PayOrderWriter,
    pub(crate) signals: Arc<Signals>,
    pub(crate) keys: KeyCache,
    pub(crate) passwords: Passwords,
    /// Held by the trial balance that is being made.
    pub(crate) balancing: Arc<Mutex<()>>,
    /// From the end of payability to the close.
    pub(crate) close_grace: Duration,
    /// Long polls answer at once when this is cancelled.
    pub(crate) draining: CancellationToken,
}

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
    shell(routes, Limits { timeout: REQUEST_TIMEOUT, max_body_bytes: MAX_BODY_BYTES })
}

async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/yaml")], include_str!("../openapi.yaml"))
}

/// Logs a failure of the database and says so to the client.
#[expect(clippy::needless_pass_by_value, reason = "it is made for map_err")]
pub(crate) fn unavailable(error: storage::Error) -> Problem {
    tracing::error!(%error, "a request failed for the database");
    if error.is_outage() {
        Problem::unavailable("the database is away; send the request again")
    } else {
        Problem::internal()
    }
}

/// A problem of the content, with a code of its own.
pub(crate) fn unprocessable(code: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}
