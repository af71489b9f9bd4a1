//! API keys: how merchants prove who they are.

mod cache;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use events::MerchantId;
use runtime::ApiError;
use service::auth::Bearer;
use service::{Problem, Secret};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

pub(crate) use cache::KeyCache;

use crate::state::App;
use crate::store::merchants::{self, Merchant};

/// A new key: `pk_` and 256 random bits in hexadecimal.
pub(crate) fn generate() -> Secret {
    Secret::from(format!("pk_{}", hex::encode(rand::random::<[u8; 32]>())))
}

/// What is stored of a key.
pub(crate) fn hash(api_key: &Secret) -> [u8; 32] {
    Sha256::digest(api_key.expose()).into()
}

/// The merchant that sent a request. Without a valid key the request is answered 401, a disabled merchant's 403.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) MerchantId);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let Bearer(api_key) = Bearer::from_request_parts(parts, app).await?;
        let hash = hash(&api_key);
        let merchant = match app.keys.get(&hash) {
            Some(merchant) => merchant,
            None => look_up(app, hash).await?,
        };
        if !merchant.enabled {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "merchant_disabled",
                "this merchant is disabled",
            )
            .into());
        }
        Ok(Self(merchant.id))
    }
}

async fn look_up(app: &App, hash: [u8; 32]) -> Result<Merchant, ApiError> {
    let client = app.database.client().await?;
    let found = merchants::find_by_key(&client, &hash, OffsetDateTime::now_utc()).await?;
    let merchant = found.ok_or_else(Problem::unauthorized)?;
    app.keys.put(hash, merchant.clone());
    Ok(merchant)
}
