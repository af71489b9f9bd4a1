//! API keys: how merchants prove who they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use events::MerchantId;
use service::auth::Bearer;
use service::{Problem, Secret};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::app::{App, unavailable};
use crate::store::merchants::{self, Merchant};

/// How long a key that was found is taken without looking again; a merchant that is disabled, or a key that has ended, may
/// go on for as long.
const CACHE_TTL: Duration = Duration::from_secs(2);
/// Merchants that are active within those seconds; beyond it the cache starts anew.
const CACHE_CAPACITY: usize = 10_000;

/// A new key: `pk_` and 256 random bits in hexadecimal.
pub(crate) fn generate() -> Secret {
    Secret::from(format!("pk_{}", hex::encode(rand::random::<[u8; 32]>())))
}

/// What is stored of a key.
pub(crate) fn hash(api_key: &Secret) -> [u8; 32] {
    Sha256::digest(api_key.expose()).into()
}

/// The merchants whose keys were looked up just now, by the hashes of their keys.
#[derive(Debug, Default)]
pub(crate) struct KeyCache(Mutex<HashMap<[u8; 32], (Instant, Merchant)>>);

impl KeyCache {
    fn get(&self, hash: &[u8; 32]) -> Option<Merchant> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cached.get(hash).filter(|(at, _)| at.elapsed() < CACHE_TTL).map(|(_, merchant)| merchant.clone())
    }

    fn put(&self, hash: [u8; 32], merchant: Merchant) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.len() >= CACHE_CAPACITY {
            cached.clear();
        }
        cached.insert(hash, (Instant::now(), merchant));
    }
}

/// The merchant that sent a request. Without a valid key the request is answered 401, a disabled merchant's 403.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) MerchantId);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
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
            ));
        }
        Ok(Self(merchant.id))
    }
}

async fn look_up(app: &App, hash: [u8; 32]) -> Result<Merchant, Problem> {
    let client = app.database.client().await.map_err(unavailable)?;
    let found =
        merchants::find_by_key(&client, &hash, OffsetDateTime::now_utc()).await.map_err(unavailable)?;
    let merchant = found.ok_or_else(Problem::unauthorized)?;
    app.keys.put(hash, merchant.clone());
    Ok(merchant)
}
