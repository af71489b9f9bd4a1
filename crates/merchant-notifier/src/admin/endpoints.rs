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
use webhooks::Secret;

use super::{Admin, problem};
use crate::store::breakers::{self, Breaker};
use crate::store::endpoints;
use crate::{Ack, Change, Endpoint, EndpointChange, Ladder};

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
    ladder: Option<Vec<String>>,
    breaker: Breaker,
    /// Given once, when the endpoint is made.
    secret: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

impl Told {
    fn new(endpoint: Endpoint, breaker: Option<Breaker>) -> Self {
        Self {
            merchant_id: endpoint.merchant_id,
            url: endpoint.url,
            enabled: endpoint.enabled,
            ack: endpoint.ack,
            ladder: endpoint.ladder.as_ref().map(Ladder::rungs),
            breaker: breaker.unwrap_or_default(),
            secret: None,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

/// Makes or changes an endpoint; putting the same again changes nothing. Notifications that waited for it go on.
pub(super) async fn put(
    State(admin): State<Admin>,
    Path(merchant_id): Path<MerchantId>,
    Json(body): Json<Body>,
) -> Result<Json<Told>, Problem> {
    let change = change(&admin, body)?;
    let secret = Secret::generate(rand::random());
    let sealed = admin.vault.seal(&merchant_id, &secret).map_err(|error| {
        tracing::error!(%error, "a signing secret could not be sealed");
        Problem::internal()
    })?;
    let client = admin.database.client().await.map_err(|error| problem(&error))?;
    let before = endpoints::list(&client, Some(&merchant_id)).await.map_err(|error| problem(&error))?;
    let (endpoint, made) =
        endpoints::put(&client, &merchant_id, &change, &sealed).await.map_err(|error| problem(&error))?;
    // What the breaker knows is of the address that was, and who enables an endpoint wants it called.
    let moved = before.first().is_some_and(|before| before.url != endpoint.url);
    if moved || change.enabled == Some(true) {
        breakers::forget(&client, &merchant_id).await.map_err(|error| problem(&error))?;
        admin.wake.notify_one();
    }
    let breaker = breaker(&client, &merchant_id).await?;
    let resumed = endpoints::settle(&client).await.map_err(|error| problem(&error))?;
    if resumed > 0 {
        admin.wake.notify_one();
    }
    tracing::info!(%merchant_id, made, resumed, "endpoint put");
    Ok(Json(Told { secret: made.then(|| secret.expose().to_string()), ..Told::new(endpoint, breaker) }))
}

fn change(admin: &Admin, body: Body) -> Result<EndpointChange, Problem> {
    if let Some(url) = body.url.value() {
        check_url(admin, url)?;
    }
    let ladder = body.ladder.try_map(|rungs| {
        rungs.join(",").parse().map_err(|error| Problem::invalid(format!("ladder: {error}")))
    })?;
    Ok(EndpointChange { url: body.url, enabled: body.enabled, ack: body.ack, ladder })
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
    Ok(Json(Told::new(endpoint, breaker)))
}

/// All endpoints, by merchant.
pub(super) async fn list(State(admin): State<Admin>) -> Result<Json<Vec<Told>>, Problem> {
    let client = admin.database.client().await.map_err(|error| problem(&error))?;
    let endpoints = endpoints::list(&client, None).await.map_err(|error| problem(&error))?;
    let breakers = breakers::list(&client, None).await.map_err(|error| problem(&error))?;
    let mut breakers: HashMap<_, _> = breakers.into_iter().collect();
    let told = |endpoint: Endpoint| {
        let breaker = breakers.remove(&endpoint.merchant_id);
        Told::new(endpoint, breaker)
    };
    Ok(Json(endpoints.into_iter().map(told).collect()))
}

async fn breaker(client: &impl GenericClient, merchant_id: &MerchantId) -> Result<Option<Breaker>, Problem> {
    let found = breakers::list(client, Some(merchant_id)).await.map_err(|error| problem(&error))?.pop();
    Ok(found.map(|(_, breaker)| breaker))
}
