//! Listing, showing and retrying notifications.

use admin_api::limit::Limit;
use axum::extract::State;
use events::{MerchantId, OrderNo};
use runtime::ApiError;
use serde::{Deserialize, Serialize};
use service::Problem;
use service::extract::{Json, Path, Query};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Admin;
use crate::store::notifications::{self, Filter, Notification, PastAttempt};
use crate::store::retries::{self, Preview};

const PARKED: &str = "PARKED";
const STATUSES: [&str; 3] = ["PENDING", "DELIVERED", PARKED];
const REASONS: [&str; 4] = ["no_endpoint", "endpoint_disabled", "attempts_exhausted", "gone"];

/// Which notifications are meant. Times are RFC 3339, of when they were made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    notification_id: Option<Uuid>,
    merchant_id: Option<MerchantId>,
    /// A status, or the reason of what is parked.
    status: Option<String>,
    order_no: Option<OrderNo>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    since: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    until: Option<OffsetDateTime>,
    #[serde(default)]
    limit: Limit,
    /// Of a preview: what was retried since is left out of the retry.
    #[serde(default, with = "time::serde::rfc3339::option")]
    as_of: Option<OffsetDateTime>,
}

impl Selection {
    fn filter(self) -> Result<Filter, Problem> {
        let (status, reason) = self.status.as_deref().map(standing).transpose()?.unzip();
        Ok(Filter {
            notification_id: self.notification_id,
            merchant_id: self.merchant_id,
            status,
            reason: reason.flatten(),
            order_no: self.order_no,
            since: self.since,
            until: self.until,
        })
    }

    /// Of many only what is parked, unless another status is asked for: what is pending will be sent anyway.
    fn retry_filter(self) -> Result<Filter, Problem> {
        let mut filter = self.filter()?;
        if filter.notification_id.is_none() {
            filter.status.get_or_insert(PARKED);
        }
        Ok(filter)
    }
}

fn standing(text: &str) -> Result<(&'static str, Option<&'static str>), Problem> {
    let known = |names: &[&'static str]| names.iter().copied().find(|name| *name == text);
    let found = known(&STATUSES).map(|status| (status, None));
    found.or_else(|| known(&REASONS).map(|reason| (PARKED, Some(reason)))).ok_or_else(|| {
        Problem::invalid(format!("status: expected one of {STATUSES:?} or {REASONS:?}, got {text:?}"))
    })
}

/// `GET /admin/notifications`: the newest first.
pub(super) async fn list(
    State(admin): State<Admin>,
    Query(selection): Query<Selection>,
) -> Result<Json<Vec<Notification>>, ApiError> {
    let limit = selection.limit.get();
    let filter = selection.filter()?;
    let client = admin.database.client().await?;
    Ok(Json(notifications::list(&client, &filter, limit).await?))
}

/// A notification with every attempt that is still kept.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    notification: Notification,
    history: Vec<PastAttempt>,
}

/// `GET /admin/notifications/{notification_id}`
pub(super) async fn show(
    State(admin): State<Admin>,
    Path(notification_id): Path<Uuid>,
) -> Result<Json<Shown>, ApiError> {
    let filter = Filter { notification_id: Some(notification_id), ..Filter::default() };
    let client = admin.database.client().await?;
    let mut found = notifications::list(&client, &filter, 1).await?;
    let notification =
        found.pop().ok_or_else(|| Problem::not_found(format!("no notification {notification_id}")))?;
    let history = notifications::attempts(&client, notification_id).await?;
    Ok(Json(Shown { notification, history }))
}

/// `GET /admin/notifications/retryable`: what a retry of the same selection would do.
pub(super) async fn retryable(
    State(admin): State<Admin>,
    Query(selection): Query<Selection>,
) -> Result<Json<Preview>, ApiError> {
    let filter = selection.retry_filter()?;
    let client = admin.database.client().await?;
    Ok(Json(retries::preview(&client, &filter).await?))
}

/// How many were made due.
#[derive(Debug, Serialize)]
pub(super) struct Retried {
    retried: u64,
}

/// `POST /admin/notifications/retry`: makes at most `limit` due now. To be repeated until it answers 0.
pub(super) async fn retry(
    State(admin): State<Admin>,
    Json(selection): Json<Selection>,
) -> Result<Json<Retried>, ApiError> {
    let (limit, as_of) = (selection.limit.get(), selection.as_of);
    let filter = selection.retry_filter()?;
    let client = admin.database.client().await?;
    let retried = retries::retry(&client, &filter, as_of, limit).await?;
    if retried > 0 {
        admin.wake.notify_one();
        let Filter { notification_id, merchant_id, status, reason, .. } = &filter;
        let notification_id = notification_id.map(tracing::field::display);
        let merchant_id = merchant_id.as_ref().map(MerchantId::as_str);
        tracing::info!(
            retried,
            notification_id,
            merchant_id,
            status,
            reason,
            "notifications retried by hand"
        );
    }
    Ok(Json(Retried { retried }))
}
