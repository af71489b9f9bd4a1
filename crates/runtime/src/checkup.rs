//! `GET /admin/checkup`: what `payrelay doctor` must know of a service.

use std::future::Future;

use axum::Router;
use axum::routing::get;
use serde::Serialize;
use service::checkup::{Checkup, StaticInfo};
use service::extract::Json;
use storage::Database;
use storage::partitions::Partitioned;

use crate::ApiError;

/// What all services tell of themselves.
#[derive(Debug, Clone)]
pub struct Checkups {
    /// The service's own.
    pub database: Database,
    /// The tables that it keeps in partitions.
    pub tables: Vec<Partitioned>,
    /// What does not change while it runs.
    pub fixed: StaticInfo,
}

/// The answer, with what this service alone tells.
#[derive(Debug, Serialize)]
struct Answer<T> {
    #[serde(flatten)]
    common: Checkup<storage::Checkup>,
    #[serde(flatten)]
    more: T,
}

impl Checkups {
    /// The route, without the token that protects it. `more` adds fields of the service's own.
    pub fn router<T, F>(self, more: impl Fn() -> F + Clone + Send + Sync + 'static) -> Router
    where
        T: Serialize + 'static,
        F: Future<Output = Result<T, ApiError>> + Send,
    {
        let answer = async move || {
            let seen = self.database.checkup(&self.tables).await?;
            let (common, more) = (Checkup::new(&self.fixed, seen), more().await?);
            Ok::<_, ApiError>(Json(Answer { common, more }))
        };
        Router::new().route("/admin/checkup", get(answer))
    }
}
