//! Whether a service may be given work.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

/// Below the usual timeout of a probe, so that it learns which check hangs.
const CHECK_TIMEOUT: Duration = Duration::from_millis(900);

type CheckFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
type Check = Arc<dyn Fn() -> CheckFuture + Send + Sync>;

/// Named checks; ready when all pass and nothing drains. Cheap to clone.
#[derive(Clone)]
pub struct Readiness {
    draining: CancellationToken,
    checks: Vec<(&'static str, Need, Check)>,
}

/// Whether a service can do its work while a check fails.
#[derive(Clone)]
enum Need {
    Required,
    /// Required until it has passed, and whether it has.
    RequiredOnce(Arc<AtomicBool>),
    Advised,
}

impl Need {
    /// Whether this result of the check keeps work away.
    fn keeps_away(&self, result: &Result<(), String>) -> bool {
        match self {
            Self::Required => result.is_err(),
            Self::RequiredOnce(passed) => {
                passed.fetch_or(result.is_ok(), Ordering::Relaxed);
                !passed.load(Ordering::Relaxed)
            }
            Self::Advised => false,
        }
    }
}

/// The body of `/readyz`: `{"ready":false,"draining":false,"checks":{"postgres":"ok","rabbitmq":"connection refused"}}`.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) ready: bool,
    draining: bool,
    checks: BTreeMap<&'static str, String>,
}

impl Readiness {
    /// No checks yet; not ready once `draining` is cancelled.
    pub fn new(draining: CancellationToken) -> Self {
        Self { draining, checks: Vec::new() }
    }

    /// Adds a check. Its error is shown on the admin port: it says what is wrong and holds no secret.
    #[must_use]
    pub fn check<C, F, E>(self, name: &'static str, check: C) -> Self
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.add(name, Need::Required, check)
    }

    /// Adds a check that is shown as `degraded: …` when it fails, and keeps no work away.
    #[must_use]
    pub fn advise<C, F, E>(self, name: &'static str, check: C) -> Self
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.add(name, Need::Advised, check)
    }

    /// Adds a check that must pass once. After that it is shown as [`Readiness::advise`] does.
    #[must_use]
    pub fn check_once<C, F, E>(self, name: &'static str, check: C) -> Self
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.add(name, Need::RequiredOnce(Arc::default()), check)
    }

    fn add<C, F, E>(mut self, name: &'static str, need: Need, check: C) -> Self
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        let check = move || -> CheckFuture {
            let checked = check();
            Box::pin(async move { checked.await.map_err(|error| error.to_string()) })
        };
        self.checks.push((name, need, Arc::new(check)));
        self
    }

    /// Runs all checks at once, each with a timeout.
    pub(super) async fn report(&self) -> Report {
        let draining = self.draining.is_cancelled();
        let results = join_all(self.checks.iter().map(|(name, need, check)| async move {
            let result = tokio::time::timeout(CHECK_TIMEOUT, check()).await;
            let result = result.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            (*name, need.keeps_away(&result), result)
        }))
        .await;
        let ready = !draining && results.iter().all(|(_, keeps_away, _)| !keeps_away);
        let checks = results
            .into_iter()
            .map(|(name, keeps_away, result)| {
                let shown = match result {
                    Ok(()) => "ok".to_owned(),
                    Err(error) if keeps_away => error,
                    Err(error) => format!("degraded: {error}"),
                };
                (name, shown)
            })
            .collect();
        Report { ready, draining, checks }
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.checks.iter().map(|(name, ..)| *name).collect();
        f.debug_struct("Readiness")
            .field("draining", &self.draining.is_cancelled())
            .field("checks", &names)
            .finish()
    }
}
