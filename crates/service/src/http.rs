//! Serving HTTP with bounds.

mod observe;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::problem::{unknown_method, unknown_path};

/// Longest drain of a listener. Above what a request takes once long polls are ended, and twice below the usual grace: the
/// public listener drains, then the admin listener, and a client that never ends its request must not make the stop a failure.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(12);

/// The bounds of a request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the head of the request to the handler's answer; then 503 with code `timeout`.
    pub timeout: Duration,
    /// Largest body; then 413 with code `body_too_large`.
    pub max_body_bytes: usize,
}

impl Default for Limits {
    /// 10 seconds and 64 KiB.
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), max_body_bytes: 64 * 1024 }
    }
}

/// Puts around `routes` what every listener has: limits, a [`crate::TraceParent`] in each request, a log span with its trace
/// id, the histogram `payrelay_http_request_seconds{method,route,status}`, and problem documents for unknown paths and
/// methods, timeouts and panics.
pub fn shell(routes: Router, limits: Limits) -> Router {
    routes
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(DefaultBodyLimit::max(limits.max_body_bytes))
        .layer(middleware::from_fn_with_state(limits.timeout, observe::observe))
}

/// Listens on `addr` (port 0: any free one).
///
/// # Errors
/// The system's error with the address in its text.
pub async fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(addr)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}")))
}

/// Serves until `cancel`, then takes no more connections, finishes the requests under way, and returns. Connections that do
/// not end are dropped after 12 s; a caller with less patience drops the future.
pub async fn serve(listener: TcpListener, router: Router, cancel: CancellationToken) -> io::Result<()> {
    let listener = listener.tap_io(|connection| {
        // Only costs latency when it fails.
        let _unset = connection.set_nodelay(true);
    });
    let server = axum::serve(listener, router).with_graceful_shutdown(cancel.clone().cancelled_owned());
    tokio::select! {
        result = server.into_future() => result,
        () = async { cancel.cancelled().await; tokio::time::sleep(DRAIN_TIMEOUT).await } => {
            tracing::warn!("connections that did not end were dropped");
            Ok(())
        }
    }
}
