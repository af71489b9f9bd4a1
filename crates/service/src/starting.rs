//! Answering while a service waits for what it needs to start.

use std::future::Future;
use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use futures_util::future::OptionFuture;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::Problem;
use crate::admin::{self, Readiness};
use crate::http::{Limits, Listener, Patience, Stop, serve, with_standard_layers};

/// How long a request that came meanwhile may hold up the start.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
const DETAIL: &str = "the service is starting; its database is away or being migrated";

/// Does `work`. Meanwhile `admin` answers that the process lives and is not ready, and all else, on `public` too, gets 503: whoever waits
/// for a database is not to be restarted for it, nor to let callers hang. Both listen on afterwards, and lose no connection.
///
/// # Errors
/// The system's, when a listener cannot be shared.
pub async fn serve_while_starting<T>(
    admin: &TcpListener,
    public: Option<&TcpListener>,
    work: impl Future<Output = T>,
) -> io::Result<T> {
    let readiness =
        Readiness::new(CancellationToken::new()).check("postgres", || async { Err::<(), _>(DETAIL) });
    let done = CancellationToken::new();
    let (patience, stop) = (Patience::default(), Stop::at(done.clone()));
    let starting = or_unavailable(admin::open(readiness), Listener::Admin);
    let admin = serve(share(admin)?, starting, patience, stop.clone());
    let public = public.map(share).transpose()?;
    let public =
        public.map(|public| serve(public, or_unavailable(Router::new(), Listener::Public), patience, stop));
    let answered = async {
        tokio::select! {
            _ended = async { tokio::join!(admin, OptionFuture::from(public)) } => {}
            () = async { done.cancelled().await; sleep(LAST_ANSWERS).await } => {}
        }
    };
    let worked = async {
        let worked = work.await;
        done.cancel();
        worked
    };
    Ok(tokio::join!(worked, answered).0)
}

/// The same socket once more.
fn share(listener: &TcpListener) -> io::Result<TcpListener> {
    TcpListener::from_std(listener.as_fd().try_clone_to_owned()?.into())
}

/// `routes`, and 503 for whatever else is asked.
fn or_unavailable(routes: Router, listener: Listener) -> Router {
    let unavailable = any(async || Problem::unavailable(DETAIL));
    with_standard_layers(routes.route("/{*path}", unavailable), listener, Limits::default())
}
