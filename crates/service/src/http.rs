//! Serving HTTP with bounds.

mod observe;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::problem::{unknown_method, unknown_path};

/// Longest drain of a listener. Above what a request takes once long polls are ended, and twice below the usual grace: the
/// public listener drains, then the admin listener, and a client that never ends its request must not make the stop a failure.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(12);

/// Connections at once; more wait in the backlog of the system.
const MAX_CONNECTIONS: usize = 4096;
/// For the head of a request, and so for a connection that asks nothing: else a few clients could hold all connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause when no connection can be accepted, as when file descriptors are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

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
pub async fn serve(listener: TcpListener, router: Router, cancel: CancellationToken) {
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    while let Some(permit) = cancel.run_until_cancelled(Arc::clone(&free).acquire_owned()).await {
        let Some(accepted) = cancel.run_until_cancelled(listener.accept()).await else { break };
        match accepted {
            Ok((stream, _)) => {
                let connection = converse(stream, router.clone(), cancel.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        tracing::warn!("connections that did not end were dropped");
    }
}

/// Answers the requests of one connection; after `cancel` only the one that is under way.
async fn converse(stream: TcpStream, router: Router, cancel: CancellationToken) {
    // Only costs latency when it fails.
    let _unset = stream.set_nodelay(true);
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut connection =
        pin!(server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // The client's own affair: it went away, or sent no HTTP.
        tracing::debug!(%error, "connection ended");
    }
}
