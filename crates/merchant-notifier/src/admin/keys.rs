//! The keys of endpoints: made where they are wanted, and replaced.

use axum::extract::State;
use axum::http::StatusCode;
use events::MerchantId;
use runtime::ApiError;
use serde::Deserialize;
use service::Problem;
use service::extract::{Json, Path};
use storage::Transaction;
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Admin;
use super::view::{EndpointView, breaker};
use crate::keyring::{Fresh, Keyring, MAX_LIVE, TooManySecrets};
use crate::secrets::{SecretError, Vault};
use crate::store::endpoints;
use crate::{Endpoint, Format, Signature};

/// What an earlier secret goes on beside the new one, unless it is said.
const DEFAULT_OVERLAP_SECONDS: u32 = 24 * 3600;
/// The longest that an earlier secret may go on: 30 days.
const MAX_OVERLAP_SECONDS: u32 = 30 * 24 * 3600;

/// What is asked of the keys of the format `standard`; `None` keeps what there is.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) signature: Option<Signature>,
    pub(super) encrypted: Option<bool>,
}

/// Why an endpoint's keys stay as they are.
#[derive(Debug, Error)]
pub(super) enum KeysError {
    #[error(transparent)]
    Store(#[from] storage::Error),
    #[error(transparent)]
    Vault(#[from] SecretError),
    #[error("there is no such endpoint")]
    NoEndpoint,
    #[error(transparent)]
    TooMany(#[from] TooManySecrets),
    #[error("{0}")]
    Invalid(&'static str),
}

impl From<KeysError> for ApiError {
    fn from(error: KeysError) -> Self {
        let problem = match error {
            KeysError::Store(error) => return error.into(),
            KeysError::Vault(error) => {
                tracing::error!(%error, "an endpoint's keys could not be sealed or opened");
                Problem::internal()
            }
            KeysError::NoEndpoint => Problem::not_found("this merchant has no endpoint; put one first"),
            KeysError::TooMany(TooManySecrets { ends_at }) => {
                let ends_at = OffsetDateTime::from_unix_timestamp(ends_at).ok();
                let ends_at = ends_at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default();
                Problem::new(
                    StatusCode::CONFLICT,
                    "too_many_secrets",
                    format!(
                        "{MAX_LIVE} secrets sign already, the first of them until {ends_at}; rotate again then; with replace_last, if nobody was told the last one; or with an overlap of 0, which ends all earlier ones at once"
                    ),
                )
            }
            KeysError::Invalid(detail) => Problem::invalid(detail),
        };
        problem.into()
    }
}

impl Keys {
    /// Fits the keyring to what is asked for.
    pub(super) fn fit(&self, keyring: &mut Keyring, format: Format) -> Result<Fresh, KeysError> {
        if format == Format::FormMd5 && self.signature.is_some() {
            return Err(KeysError::Invalid(
                "signature: the format form-md5 has one of its own; leave it out",
            ));
        }
        let fresh = keyring.fit(format, self.signature, self.encrypted);
        if format == Format::FormMd5 && keyring.encryption_key().is_some() {
            return Err(KeysError::Invalid(
                "encryption: the format form-md5 cannot be encrypted; set it to null with that format",
            ));
        }
        Ok(fresh)
    }
}

impl Keyring {
    /// Stores the keyring as the endpoint's.
    pub(super) async fn store(
        &self,
        tx: &Transaction<'_>,
        vault: &Vault,
        endpoint: &Endpoint,
    ) -> Result<(), KeysError> {
        let merchant_id = &endpoint.merchant_id;
        let older = self.for_older_releases(endpoint.format);
        let [all, older] = [self, &older].map(|keyring| vault.seal(merchant_id, keyring));
        Ok(endpoints::rekey(tx, merchant_id, &all?, &older?).await?)
    }
}

/// Which key is to be replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Which {
    /// What webhooks of the endpoint's format are signed with; of two signatures both.
    #[default]
    Signing,
    /// What their data is encrypted with.
    Encryption,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotate {
    #[serde(default)]
    key: Which,
    /// How long the earlier secrets sign beside the new one.
    overlap_seconds: Option<u32>,
    /// Ends the last secret, which was told to nobody, and none of the earlier ones.
    #[serde(default)]
    replace_last: bool,
}

/// `POST /admin/endpoints/{merchant_id}/rotate-secret`: a new key, told once. If the answer is lost, another request with `replace_last`
/// does no harm, as often as it takes: whoever holds an earlier secret has the whole overlap to replace it.
pub(super) async fn rotate(
    State(admin): State<Admin>,
    Path(merchant_id): Path<MerchantId>,
    Json(rotate): Json<Rotate>,
) -> Result<Json<EndpointView>, ApiError> {
    if rotate.overlap_seconds.is_some_and(|seconds| seconds > MAX_OVERLAP_SECONDS) {
        let detail = format!("overlap_seconds: expected at most {MAX_OVERLAP_SECONDS}");
        return Err(Problem::invalid(detail).into());
    }
    let (vault, merchant_id, rotate) = (&admin.vault, &merchant_id, &rotate);
    let work = admin.database.transaction(|tx| {
        Box::pin(async move {
            let endpoint = endpoints::locked(&tx, merchant_id).await?.ok_or(KeysError::NoEndpoint)?;
            let mut keyring = vault.open(merchant_id, &endpoint.sealed_keyring)?;
            let fresh = rotate.apply(&mut keyring, endpoint.format)?;
            keyring.store(&tx, vault, &endpoint).await?;
            Ok::<_, KeysError>((endpoint, keyring, fresh))
        })
    });
    let (endpoint, keyring, fresh) = work.await?;
    tracing::info!(%merchant_id, key = ?rotate.key, "an endpoint's key was rotated");
    let client = admin.database.client().await?;
    let breaker = breaker(&client, merchant_id).await?;
    Ok(Json(EndpointView::new(endpoint, &keyring, breaker).with(&fresh)))
}

impl Rotate {
    fn apply(&self, keyring: &mut Keyring, format: Format) -> Result<Fresh, KeysError> {
        let overlaps = self.overlap_seconds.is_some_and(|seconds| seconds > 0);
        match (self.key, format) {
            (which, format) if self.replace_last => {
                if which == Which::Encryption || format == Format::FormMd5 || self.overlap_seconds.is_some() {
                    return Err(KeysError::Invalid(
                        "replace_last: expected alone, and for secrets that sign beside earlier ones; leave it out, or the overlap",
                    ));
                }
                let now = OffsetDateTime::now_utc().unix_timestamp();
                keyring.replace_last(now).ok_or(KeysError::Invalid(
                    "replace_last: no earlier secret signs beside the last one; leave it out",
                ))
            }
            (Which::Encryption, _) if overlaps => Err(KeysError::Invalid(
                "overlap_seconds: data is encrypted with one key; leave it out, the new key counts at once",
            )),
            (Which::Encryption, _) => keyring.rotate_encryption().ok_or(KeysError::Invalid(
                "key: the webhooks of this endpoint are not encrypted; put its encryption first",
            )),
            (Which::Signing, Format::FormMd5) if overlaps => Err(KeysError::Invalid(
                "overlap_seconds: a form holds one signature; leave it out, the new key counts at once",
            )),
            (Which::Signing, _) => {
                let overlap_seconds = self.overlap_seconds.unwrap_or(DEFAULT_OVERLAP_SECONDS);
                let now = OffsetDateTime::now_utc().unix_timestamp();
                Ok(keyring.rotate(format, now, overlap_seconds)?)
            }
        }
    }
}
