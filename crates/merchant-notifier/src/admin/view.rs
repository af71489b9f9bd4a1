//! How an endpoint is shown.

use events::MerchantId;
use runtime::ApiError;
use serde::Serialize;
use storage::GenericClient;
use time::OffsetDateTime;

use super::Admin;
use crate::keyring::{Fresh, Keyring};
use crate::store::breakers::{self, Breaker};
use crate::{Ack, Encryption, Endpoint, Format, Ladder, Signature};

/// An endpoint as it is told.
#[derive(Debug, Serialize)]
pub(super) struct EndpointView {
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

impl EndpointView {
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

/// An endpoint whose keys do not open is shown all the same: its attempts say what is wrong with it.
pub(super) fn told(admin: &Admin, endpoint: Endpoint, breaker: Option<Breaker>) -> EndpointView {
    let opened = admin.vault.open(&endpoint.merchant_id, &endpoint.sealed_keyring);
    let keyring = opened.unwrap_or_else(|error| {
        tracing::warn!(%error, merchant_id = %endpoint.merchant_id, "an endpoint is shown without its keys");
        Keyring::default()
    });
    EndpointView::new(endpoint, &keyring, breaker)
}

pub(super) async fn breaker(
    client: &impl GenericClient,
    merchant_id: &MerchantId,
) -> Result<Option<Breaker>, ApiError> {
    let found = breakers::list(client, Some(merchant_id)).await?.pop();
    Ok(found.map(|(_, breaker)| breaker))
}
