//! New keys in the place of those that a merchant has.

use std::time::Duration;

use events::MerchantId;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::view::print;
use crate::{admin::Admin, failure::Outcome, output};

/// A new API key as the ingress answers it.
#[derive(Debug, Serialize, Deserialize)]
struct RotatedKey {
    merchant_id: String,
    api_key: String,
    earlier_keys_valid_until: String,
}

/// Rotates the API key.
pub(super) async fn key(admin: &Admin, id: &MerchantId, overlap: Duration, json: bool) -> Outcome {
    let path = format!("/admin/merchants/{id}/rotate-key");
    let body = json!({ "overlap_seconds": overlap.as_secs() });
    let rotated: RotatedKey = admin.ingress.post(&path, &body).await?;
    if json {
        return Ok(output::json(&rotated)?);
    }
    print(vec![
        ("api key", rotated.api_key),
        ("earlier keys", format!("valid until {}", rotated.earlier_keys_valid_until)),
    ])
}

/// The new keys of an endpoint, read from what the notifier answers, printed under the names of `merchant show`.
#[derive(Debug, Serialize, Deserialize)]
struct RotatedSecret {
    merchant_id: String,
    #[serde(rename(deserialize = "secret"))]
    webhook_secret: Option<String>,
    #[serde(rename(deserialize = "public_key"))]
    webhook_public_key: Option<String>,
    encryption_key: Option<String>,
    earlier_secrets_valid_until: Option<String>,
}

/// Which key of an endpoint is replaced, and how.
pub(super) struct Secret {
    pub(super) overlap: Option<Duration>,
    pub(super) replace_last: bool,
    pub(super) encryption: bool,
}

/// Rotates what webhooks are signed with, or with `encryption` what their data is encrypted with.
pub(super) async fn secret(admin: &Admin, id: &MerchantId, rotation: Secret, json: bool) -> Outcome {
    let Secret { overlap, replace_last, encryption } = rotation;
    let path = format!("/admin/endpoints/{id}/rotate-secret");
    let body = json!({
        "key": if encryption { "encryption" } else { "signing" },
        "overlap_seconds": overlap.map(|overlap| overlap.as_secs()),
        "replace_last": replace_last,
    });
    let rotated: RotatedSecret = admin.notifier.post(&path, &body).await?;
    if json {
        return Ok(output::json(&rotated)?);
    }
    let until = rotated.earlier_secrets_valid_until.map(|until| format!("valid until {until}"));
    let rows = [
        ("webhook secret", rotated.webhook_secret),
        ("public key", rotated.webhook_public_key),
        ("encryption key", rotated.encryption_key),
        ("earlier secrets", until),
    ];
    print(rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}
