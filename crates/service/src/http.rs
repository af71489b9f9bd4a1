//! Serving HTTP with bounds.

mod body;
mod connection;
mod observe;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Loader;
use crate::problem::{unknown_method, unknown_path};

/// Longest drain of a listener. Above what a request takes once long polls are ended, and twice below the usual grace: the
/// public listener drains, then the admin listener, and a client that never ends its request must not make the stop a failure.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(12);

/// Connections at once; more wait in the backlog of the system.
const MAX_CONNECTIONS: usize = 4096;
/// Requests at once, whatever connections they come by: HTTP/1 has one for each, HTTP/2 many. More wait for their turn.
const MAX_REQUESTS: usize = MAX_CONNECTIONS;
/// The pause when no connection can be accepted, as when file descriptors are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// The bounds of a request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the head of the request to the handler's answer; then 503 with code `timeout`, or 408 if the body is still awaited.
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

/// Whom a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Merchants and channels.
    Public,
    /// Operators, probes and Prometheus.
    Admin,
}

impl Listener {
    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Admin => "admin",
        }
    }
}

/// How long a listener waits for its clients.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// `PAYRELAY_HTTP_IDLE_SECONDS`: a connection that asks nothing stays open so long. Whoever keeps connections to us, as
    /// load balancers do, must give up an idle one sooner, or it sends a request just when we close.
    pub idle: Duration,
    /// `PAYRELAY_HTTP_READ_SECONDS`: from the first byte of a head to its last, and from there to the last byte of the body.
    pub read: Duration,
}

impl Patience {
    /// Reads its variables.
    pub(crate) fn load(loader: &mut Loader) -> Self {
        let Self { idle, read } = Self::default();
        Self {
            idle: loader.seconds("PAYRELAY_HTTP_IDLE_SECONDS", idle, 1..=7200),
            read: loader.seconds("PAYRELAY_HTTP_READ_SECONDS", read, 1..=300),
        }
    }
}

impl Default for Patience {
    /// Above the minute for which most balancers keep an idle connection; and 30 seconds.
    fn default() -> Self {
        Self { idle: Duration::from_secs(75), read: Duration::from_secs(30) }
    }
}

/// The two steps in which a listener stops.
#[derive(Debug, Clone)]
pub struct Stop {
    /// From here on each answer says that its connection ends, while connections and requests are still taken: a balancer moves
    /// to another replica, and loses nothing.
    pub draining: CancellationToken,
    /// From here on no connection is taken, idle ones are closed, and requests under way are finished.
    pub closing: CancellationToken,
}

impl Stop {
    /// In one step.
    pub fn at(closing: CancellationToken) -> Self {
        Self { draining: closing.clone(), closing }
    }
}

/// Puts around `routes` what every listener has: limits, a [`crate::TraceParent`] in each request, a log span with its trace
/// id, the histogram `payrelay_http_request_seconds{listener,method,route,status}`, and problem documents for unknown paths and
/// methods, timeouts, bodies that do not arrive, and panics.
pub fn with_standard_layers(routes: Router, listener: Listener, limits: Limits) -> Router {
    routes
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(DefaultBodyLimit::max(limits.max_body_bytes))
        .layer(middleware::from_fn_with_state((listener, limits.timeout), observe::observe))
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

/// Serves HTTP/1.1, and HTTP/2 to clients that begin with it (prior knowledge), until `stop` closes: then takes no more
/// connections, finishes the requests under way, and returns. Connections that do not end are dropped after 12 s; a caller
/// with less patience drops the future.
pub async fn serve(listener: TcpListener, router: Router, patience: Patience, stop: Stop) {
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let host = connection::Host { router, patience, stop, requests: Arc::new(Semaphore::new(MAX_REQUESTS)) };
    let closing = host.stop.closing.clone();
    let mut connections = JoinSet::new();
    while let Some(permit) = closing.run_until_cancelled(Arc::clone(&free).acquire_owned()).await {
        let Some(accepted) = closing.run_until_cancelled(listener.accept()).await else { break };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection::serve_connection(stream, host.clone());
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
