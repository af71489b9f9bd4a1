//! Putting and seeing endpoints.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::StatusCode;
use events::MerchantId;
use serde::{Deserialize, Serialize};
use service::Problem;
use service::extract::{Json, Path};
use storage::GenericClient;
use time::OffsetDateTime;
use url::Url;

use super::keys::{Keys, KeysError};
use super::{Admin, problem};
use crate::keyring::{Fresh, Keyring};
use crate::store::breakers::{self, Breaker};
use crate::store::endpoints;
use crate::{Ack, Change, Encryption, Endpoint, EndpointChange, Format, Ladder, Signature};

const MAX_URL_BYTES: usize = 2048;

/// An endpoint to be made or changed: an absent field keeps what is there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    /// `null` takes the address away.
    #[serde(default)]
    url: Change<String>,
    enabled: Option<bool>,
    ack: Option<Ack>,
    format: Option<Format>,
    /// Of the format `standard`.
    signature: Option<Signature>,
    /// Of the format `standard`; `null` for none.
    #[serde(default)]
    encryption: Change<Encryption>,
    /// As `["15s","3m"]`; `null` goes back to the configured delays.
    #[serde(default)]
    ladder: Change<Vec<String>>,
}

/// An endpoint as it is told.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    merchant_id: MerchantId,
    url: Option<String>,
    enabled: bool,
    ack: Ack,
    format: Format,
    /// Null for another format than `standard`.
    signature: Option<Signature>,
    encryption: Option<Encryption>,
    /// What `v1a` signatures are verified with: `whpk_…`.
    public_key: Option<String>,
    /// When the last of the earlier secrets ends, while one still signs beside the present one.
    #[serde(with = "time::serde::rfc3339::option")]
    earlier_secrets_valid_until: Option<OffsetDateTime>,
    ladder: Option<Vec<String>>,
    breaker: Breaker,
    /// What the merchant verifies with, `whsec_…` or `whmd5_…`: given once, when it is made.
    secret: Option<String>,
    /// What the merchant opens encrypted data with, `whenc_…`: given once, when it is made.
    encryption_key: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

impl Told {
    pub(super) fn new(endpoint: Endpoint, keyring: &Keyring, breaker: Option<Breaker>) -> Self {
        let standard = endpoint.format == Format::Standard;
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let earlier_until = keyring.earlier_until(now).filter(|_| standard);
        Self {
            merchant_id: endpoint.merchant_id,
            url: endpoint.url,
            enabled: endpoint.enabled,
            ack: endpoint.ack,
            format: endpoint.format,
            signature: standard.then(|| keyring.signature()),
            encryption: keyring.encryption_key().map(|_| Encryption::Aes256Gcm),
            public_key: keyring.public_key().filter(|_| standard),
            earlier_secrets_valid_until: earlier_until
                .and_then(|until| OffsetDateTime::from_unix_timestamp(until).ok()),
            ladder: endpoint.ladder.as_ref().map(Ladder::rungs),
            breaker: breaker.unwrap_or_default(),
            secret: None,
            encryption_key: None,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }

    /// The same with what was just made.
    pub(super) fn with(self, fresh: &Fresh) -> Self {
        let [secret, encryption_key] =
            [&fresh.secret, &fresh.encryption_key].map(|text| text.as_ref().map(|text| text.to_string()));
        Self { secret, encryption_key, ..self }
    }
}

/// Makes or changes an endpoint; putting the same again changes nothing. Notifications that waited for it go on.
pub(super) async fn put(
    State(admin): State<Admin>,
    Path(merchant_id): Path<MerchantId>,
    Json(body): Json<Body>,
) -> Result<Json<Told>, Problem> {
    let (change, keys) = change(&admin, body)?;
    let client = admin.database.client().await.map_err(|error| problem(&error))?;
    let before = endpoints::list(&client, Some(&merchant_id)).await.map_err(|error| problem(&error))?.pop();
    let (endpoint, keyring, fresh) = write(&admin, &merchant_id, &change, &keys).await?;
    // What the breaker knows is of the endpoint that was, and who enables one wants it called.
    let moved =
        before.as_ref().is_some_and(|before| before.url != endpoint.url || before.format != endpoint.format);
    if moved || change.enabled == Some(true) {
        breakers::forget(&client, &merchant_id).await.map_err(|error| problem(&error))?;
        admin.wake.notify_one();
    }
    let breaker = breaker(&client, &merchant_id).await?;
    let resumed = endpoints::settle(&client).await.map_err(|error| problem(&error))?;
    if resumed > 0 {
        admin.wake.notify_one();
    }
    tracing::info!(%merchant_id, made = before.is_none(), resumed, "endpoint put");
    Ok(Json(Told::new(endpoint, &keyring, breaker).with(&fresh)))
}

/// The endpoint and its keys, changed together or not at all.
async fn write(
    admin: &Admin,
    merchant_id: &MerchantId,
    change: &EndpointChange,
    keys: &Keys,
) -> Result<(Endpoint, Keyring, Fresh), Problem> {
    let vault = &admin.vault;
    let work = admin.database.transaction(|tx| {
        Box::pin(async move {
            // Replaced below, for a new endpoint wants keys.
            let none = vault.seal(merchant_id, &Keyring::default())?;
            let (endpoint, _) = endpoints::put(&*tx, merchant_id, change, &none).await?;
            let mut keyring = vault.open(merchant_id, &endpoint.sealed_keyring)?;
            let fresh = keys.fit(&mut keyring, endpoint.format)?;
            if fresh.changed || change.format.is_some() {
                keyring.store(&tx, vault, &endpoint).await?;
            }
            Ok::<_, KeysError>((endpoint, keyring, fresh))
        })
    });
    work.await.map_err(KeysError::problem)
}

fn change(admin: &Admin, body: Body) -> Result<(EndpointChange, Keys), Problem> {
    if let Some(url) = body.url.value() {
        check_url(admin, url)?;
    }
    let ladder = body.ladder.try_map(|rungs| {
        rungs.join(",").parse().map_err(|error| Problem::invalid(format!("ladder: {error}")))
    })?;
    let encrypted = match body.encryption {
        Change::Keep => None,
        Change::Clear => Some(false),
        Change::Set(Encryption::Aes256Gcm) => Some(true),
    };
    let change =
        EndpointChange { url: body.url, enabled: body.enabled, ack: body.ack, format: body.format, ladder };
    Ok((change, Keys { signature: body.signature, encrypted }))
}

/// Refuses what no attempt would ever call, so that the mistake is seen where it is made.
fn check_url(admin: &Admin, url: &str) -> Result<(), Problem> {
    if url.len() > MAX_URL_BYTES {
        return Err(Problem::invalid(format!(
            "url: expected at most {MAX_URL_BYTES} bytes, got {}",
            url.len()
        )));
    }
    let parsed = Url::parse(url).map_err(|error| Problem::invalid(format!("url: {error}")))?;
    admin.policy.check_url(&parsed).map(drop).map_err(|forbidden| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "forbidden_target", format!("url: {forbidden}"))
    })
}

/// One endpoint.
pub(super) async fn show(
    State(admin): State<Admin>,
    Path(merchant_id): Path<MerchantId>,
) -> Result<Json<Told>, Problem> {
    let client = admin.database.client().await.map_err(|error| problem(&error))?;
    let found = endpoints::list(&client, Some(&merchant_id)).await.map_err(|error| problem(&error))?.pop();
    let endpoint =
        found.ok_or_else(|| Problem::not_found(format!("no endpoint of merchant {merchant_id}")))?;
    let breaker = breaker(&client, &merchant_id).await?;
    Ok(Json(told(&admin, endpoint, breaker)))
}

/// All endpoints, by merchant.
pub(super) async fn list(State(admin): State<Admin>) -> Result<Json<Vec<Told>>, Problem> {
    let client = admin.database.client().await.map_err(|error| problem(&error))?;
    let endpoints = endpoints::list(&client, None).await.map_err(|error| problem(&error))?;
    let breakers = breakers::list(&client, None).await.map_err(|error| problem(&error))?;
    let mut breakers: HashMap<_, _> = breakers.into_iter().collect();
    let told = |endpoint: Endpoint| {
        let breaker = breakers.remove(&endpoint.merchant_id);
        told(&admin, endpoint, breaker)
    };
    Ok(Json(endpoints.into_iter().map(told).collect()))
}

/// An endpoint whose keys do not open is shown all the same: its attempts say what is wrong with it.
fn told(admin: &Admin, endpoint: Endpoint, breaker: Option<Breaker>) -> Told {
    let opened = admin.vault.open(&endpoint.merchant_id, &endpoint.sealed_keyring);
    let keyring = opened.unwrap_or_else(|error| {
        tracing::warn!(%error, merchant_id = %endpoint.merchant_id, "an endpoint is shown without its keys");
        Keyring::default()
    });
    Told::new(endpoint, &keyring, breaker)
}

pub(super) async fn breaker(
    client: &impl GenericClient,
    merchant_id: &MerchantId,
) -> Result<Option<Breaker>, Problem> {
    let found = breakers::list(client, Some(merchant_id)).await.map_err(|error| problem(&error))?.pop();
    Ok(found.map(|(_, breaker)| breaker))
}
