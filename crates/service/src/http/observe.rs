//! The middleware around every request.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use tracing::Instrument as _;

use super::body::Arrival;
use super::{Listener, Patience};
use crate::Problem;
use crate::trace::{TRACEPARENT, TraceParent};

/// Traces, bounds and measures a request; a panic of its handler becomes a 500, a body that does not arrive a 408.
pub(super) async fn observe(
    State((listener, timeout)): State<(Listener, Duration)>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let read = request.extensions().get::<Patience>().copied().unwrap_or_default().read;
    let (parts, body) = request.into_parts();
    let (body, arrival) = Arrival::watch(body, read);
    let mut request = Request::from_parts(parts, body);
    let trace = trace_parent(request.headers());
    request.extensions_mut().insert(trace);
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    // The path itself would make a time series for every address that somebody tries.
    let route = route.as_ref().map_or("unknown", MatchedPath::as_str).to_owned();

    let span = tracing::info_span!("request", trace_id = trace.trace_id(), method, route);
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind();
    let response = match tokio::time::timeout(timeout, handled.instrument(span.clone())).await {
        Ok(Ok(response)) if response.status().is_success() => response,
        Ok(Ok(response)) => arrival.problem().map_or(response, Problem::into_response),
        Ok(Err(_panic)) => {
            span.in_scope(|| tracing::error!("the handler panicked"));
            Problem::internal().into_response()
        }
        Err(_elapsed) => {
            arrival.give_up();
            let problem = arrival.problem().unwrap_or_else(|| {
                span.in_scope(|| {
                    tracing::warn!(timeout_ms = timeout.as_millis(), "the request timed out");
                });
                timed_out()
            });
            problem.into_response()
        }
    };

    let status = response.status().as_u16().to_string();
    metrics::histogram!("payrelay_http_request_seconds", "listener" => listener.as_str(), "method" => method, "route" => route, "status" => status)
        .record(started.elapsed().as_secs_f64());
    response
}

fn timed_out() -> Problem {
    let detail = "no answer in time; whether the request took effect is unknown";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail).retry_after(1)
}

fn trace_parent(headers: &HeaderMap) -> TraceParent {
    let given = headers.get(TRACEPARENT).and_then(|value| TraceParent::parse(value.to_str().ok()?).ok());
    given.map_or_else(TraceParent::generate, TraceParent::child)
}

/// Any token may stand for a method; only the usual ones get a time series.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
