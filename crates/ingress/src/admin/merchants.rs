//! `/admin/merchants`

use std::sync::Arc;

use admin_api::limit::Listing;
use axum::extract::State;
use events::{MerchantId, to_micros};
use runtime::ApiError;
use serde::{Deserialize, Serialize};
use service::Problem;
use service::extract::{Json, Path, Query};
use time::{Duration, OffsetDateTime};

use crate::api_keys;
use crate::state::App;
use crate::store::merchants::{self, Merchant, Put, Rotation};

/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// The longest that an earlier key may go on: 30 days.
const MAX_OVERLAP_SECONDS: u32 = 30 * 24 * 3600;

/// What `PUT` may say; what is left out stays as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    name: Option<String>,
    enabled: Option<bool>,
}

#[derive(Debug, Serialize)]
pub(super) struct MerchantView {
    merchant_id: MerchantId,
    name: Option<String>,
    enabled: bool,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

impl From<Merchant> for MerchantView {
    fn from(merchant: Merchant) -> Self {
        let Merchant { id, name, enabled, created_at } = merchant;
        Self { merchant_id: id, name, enabled, created_at }
    }
}

/// A merchant with the key that it just got; only its hash is kept, so it is shown once. Null if it had one.
#[derive(Debug, Serialize)]
pub(super) struct PutMerchant {
    #[serde(flatten)]
    merchant: MerchantView,
    api_key: Option<String>,
}

/// `PUT /admin/merchants/{merchant_id}`: makes the merchant, or changes it. Idempotent.
pub(super) async fn put(
    State(app): State<Arc<App>>,
    Path(merchant_id): Path<MerchantId>,
    Json(change): Json<Change>,
) -> Result<Json<PutMerchant>, ApiError> {
    let name = change.name.as_deref();
    if name.is_some_and(|name| name.len() > MAX_NAME_BYTES || name.contains('\0')) {
        return Err(
            Problem::invalid(format!("name: expected at most {MAX_NAME_BYTES} bytes without NUL")).into()
        );
    }
    let api_key = api_keys::generate();
    let api_key_sha256 = &api_keys::hash(&api_key);
    let put = Put { merchant_id: &merchant_id, name, enabled: change.enabled, api_key_sha256 };
    let client = app.database.client().await?;
    let now = to_micros(OffsetDateTime::now_utc());
    let (merchant, is_new) = merchants::put(&client, &put, now).await?;
    let api_key = is_new.then(|| api_key.expose().to_owned());
    Ok(Json(PutMerchant { merchant: merchant.into(), api_key }))
}

/// `GET /admin/merchants?limit=`
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Query(listing): Query<Listing>,
) -> Result<Json<Vec<MerchantView>>, ApiError> {
    let client = app.database.client().await?;
    let merchants = merchants::list(&client, None, listing.limit.get()).await?;
    Ok(Json(merchants.into_iter().map(MerchantView::from).collect()))
}

/// `GET /admin/merchants/{merchant_id}`
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(merchant_id): Path<MerchantId>,
) -> Result<Json<MerchantView>, ApiError> {
    let client = app.database.client().await?;
    let found = merchants::list(&client, Some(&merchant_id), 1).await?;
    let found = found.into_iter().next().ok_or_else(|| Problem::not_found("there is no such merchant"))?;
    Ok(Json(found.into()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotate {
    /// How long the earlier keys are still taken.
    overlap_seconds: u32,
}

/// A merchant with its new key, which is shown once.
#[derive(Debug, Serialize)]
pub(super) struct RotatedKey {
    #[serde(flatten)]
    merchant: MerchantView,
    api_key: String,
    #[serde(with = "time::serde::rfc3339")]
    earlier_keys_valid_until: OffsetDateTime,
}

/// `POST /admin/merchants/{merchant_id}/rotate-key`: a new key. If the answer is lost, another one does no harm: whoever
/// holds an earlier key has the whole overlap to replace it.
pub(super) async fn rotate_key(
    State(app): State<Arc<App>>,
    Path(merchant_id): Path<MerchantId>,
    Json(Rotate { overlap_seconds }): Json<Rotate>,
) -> Result<Json<RotatedKey>, ApiError> {
    if overlap_seconds > MAX_OVERLAP_SECONDS {
        return Err(
            Problem::invalid(format!("overlap_seconds: expected at most {MAX_OVERLAP_SECONDS}")).into()
        );
    }
    let api_key = api_keys::generate();
    let now = to_micros(OffsetDateTime::now_utc());
    let earlier_valid_until = now + Duration::seconds(overlap_seconds.into());
    let api_key_sha256 = &api_keys::hash(&api_key);
    let rotation = &Rotation { merchant_id: &merchant_id, api_key_sha256, now, earlier_valid_until };
    let rotated = app
        .database
        .transaction(|tx| Box::pin(async move { merchants::rotate_key(&tx, rotation).await }))
        .await;
    let merchant = rotated?.ok_or_else(|| Problem::not_found("there is no such merchant"))?;
    tracing::info!(%merchant_id, overlap_seconds, "API key rotated");
    Ok(Json(RotatedKey {
        merchant: merchant.into(),
        api_key: api_key.expose().to_owned(),
        earlier_keys_valid_until: earlier_valid_until,
    }))
}
