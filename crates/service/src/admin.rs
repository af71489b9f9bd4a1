//! The admin listener: health, readiness, metrics, and the service's own routes behind the admin token.

mod readiness;

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

pub use readiness::Readiness;

use crate::extract::Json;
use crate::http::{Limits, Listener, with_standard_layers};
use crate::{Secret, auth, telemetry};

/// The media type of the Prometheus text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Reports over a day of events take longer than payments may.
const LIMITS: Limits = Limits { timeout: Duration::from_secs(30), max_body_bytes: 64 * 1024 };

/// What the admin listener needs.
#[derive(Debug)]
pub struct AdminOptions {
    /// Answers `/readyz`.
    pub readiness: Readiness,
    /// Demanded by every one of `routes`.
    pub token: Secret,
    /// The service's own routes, with their full paths: `/admin/…`.
    pub routes: Router,
}

/// `GET /healthz` (the process lives), `/readyz` (200, or 503 with the failing checks), `/metrics`, and `options.routes` behind
/// the token.
pub fn router(options: AdminOptions) -> Router {
    with_standard_layers(
        open(options.readiness).merge(auth::protect(options.routes, options.token)),
        Listener::Admin,
        LIMITS,
    )
}

/// What anybody may ask of the admin listener.
pub(crate) fn open(readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(metrics))
}

async fn healthz() -> &'static str {
    "ok"
}

async fn readyz(State(readiness): State<Readiness>) -> impl IntoResponse {
    let report = readiness.report().await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report))
}

async fn metrics() -> impl IntoResponse {
    ([(CONTENT_TYPE, PROMETHEUS)], telemetry::render())
}
