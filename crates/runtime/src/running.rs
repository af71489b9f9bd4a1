//! Running a service until it stops.

use std::future::Future;

use axum::Router;
use service::admin::{self, AdminOptions, Readiness};
use service::http::{Stop, serve};
use service::{Common, Shutdown};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::tasks::{RunError, Tasks};

/// The admin listener of a service.
#[derive(Debug)]
pub struct Admin {
    /// Where it listens.
    pub listener: TcpListener,
    /// Answers `/readyz`.
    pub readiness: Readiness,
    /// The service's own routes, with their full paths.
    pub routes: Router,
}

/// Starts a service, unless `shutdown` comes first, and runs it.
///
/// # Errors
/// Those of `start` and `run`.
pub async fn start_and_run<S, F>(
    shutdown: Shutdown,
    start: impl Future<Output = anyhow::Result<S>> + Unpin,
    run: impl FnOnce(S, Shutdown) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    match shutdown.draining.run_until_cancelled(start).await {
        Some(started) => Box::pin(run(started?, shutdown)).await,
        None => Ok(()),
    }
}

/// Does the service's `work`, which must end by itself after the soft end, beside its `tasks`, as [`Tasks::run`] says. The admin
/// listener goes on to answer until both have ended.
///
/// # Errors
/// A task failed, or the hard end came before everything had ended.
pub async fn run(
    tasks: Tasks,
    admin: Admin,
    common: &Common,
    work: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let Admin { listener, readiness, routes } = admin;
    let options = AdminOptions { readiness, token: common.admin_token.clone(), routes };
    let (shutdown, drained) = (tasks.shutdown().clone(), CancellationToken::new());
    let admin = serve(listener, admin::router(options), common.patience, Stop::at(drained.clone()));
    let worked = async {
        let ended = tasks.run(common.shutdown_grace, work).await;
        drained.cancel();
        ended
    };
    tokio::join!(worked, shutdown.until_hard(admin)).0
}
