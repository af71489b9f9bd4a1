//! Putting and seeing endpoints.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::StatusCode;
use events::MerchantId;
use runtime::ApiError;
use serde::Deserialize;
use service::Problem;
use service::extract::{Json, Path};
use webhooks::target::BadTarget;

use super::Admin;
use super::keys::{Keys, KeysError};
use super::view::{EndpointView, breaker, told};
use crate::keyring::{Fresh, Keyring};
use crate::store::breakers;
use crate::store::endpoints;
use crate::{Ack, Change, Encryption, Endpoint, EndpointChange, Format, Signature};

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

/// Makes or changes an endpoint; putting the same again changes nothing. Notifications that waited for it go on.
pub(super) async fn put(
    State(admin): State<Admin>,
    Path(merchant_id): Path<MerchantId>,
    Json(body): Json<Body>,
) -> Result<Json<EndpointView>, ApiError> {
    let (change, keys) = change(&admin, body)?;
    let client = admin.database.client().await?;
    let before = endpoints::list(&client, Some(&merchant_id)).await?.pop();
    let (endpoint, keyring, fresh) = write(&admin, &merchant_id, &change, &keys).await?;
    // What the breaker knows is of the endpoint that was, and who enables one wants it called.
    let moved =
        before.as_ref().is_some_and(|before| before.url != endpoint.url || before.format != endpoint.format);
    if moved || change.enabled == Some(true) {
        breakers::forget(&client, &merchant_id).await?;
        admin.wake.notify_one();
    }
    let breaker = breaker(&client, &merchant_id).await?;
    let resumed = endpoints::settle(&client).await?;
    if resumed > 0 {
        admin.wake.notify_one();
    }
    tracing::info!(%merchant_id, made = before.is_none(), resumed, "endpoint put");
    Ok(Json(EndpointView::new(endpoint, &keyring, breaker).with(&fresh)))
}

/// The endpoint and its keys, changed together or not at all.
async fn write(
    admin: &Admin,
    merchant_id: &MerchantId,
    change: &EndpointChange,
    keys: &Keys,
) -> Result<(Endpoint, Keyring, Fresh), ApiError> {
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
    Ok(work.await?)
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
    admin.policy.check_new(url).map_err(|bad| {
        let detail = format!("url: {bad}");
        match bad {
            BadTarget::Forbidden(_) => {
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "forbidden_target", detail)
            }
            BadTarget::TooLong(_) | BadTarget::NotAUrl(_) => Problem::invalid(detail),
        }
    })
}

/// One endpoint.
pub(super) async fn show(
    State(admin): State<Admin>,
    Path(merchant_id): Path<MerchantId>,
) -> Result<Json<EndpointView>, ApiError> {
    let client = admin.database.client().await?;
    let found = endpoints::list(&client, Some(&merchant_id)).await?.pop();
    let endpoint =
        found.ok_or_else(|| Problem::not_found(format!("no endpoint of merchant {merchant_id}")))?;
    let breaker = breaker(&client, &merchant_id).await?;
    Ok(Json(told(&admin, endpoint, breaker)))
}

/// All endpoints, by merchant.
pub(super) async fn list(State(admin): State<Admin>) -> Result<Json<Vec<EndpointView>>, ApiError> {
    let client = admin.database.client().await?;
    let endpoints = endpoints::list(&client, None).await?;
    let breakers = breakers::list(&client, None).await?;
    let mut breakers: HashMap<_, _> = breakers.into_iter().collect();
    let told = |endpoint: Endpoint| {
        let breaker = breakers.remove(&endpoint.merchant_id);
        told(&admin, endpoint, breaker)
    };
    Ok(Json(endpoints.into_iter().map(told).collect()))
}
