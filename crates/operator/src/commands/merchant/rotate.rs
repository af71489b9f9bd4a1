//! New keys in the place of those that a merchant has.

use std::time::Duration;

use events::MerchantId;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Merchant;
use super::view::print;
use crate::{
    admin::Admin,
    failure::{CommandResult, Failure},
    output,
};

/// A new API key as the ingress answers it.
#[derive(Debug, Serialize, Deserialize)]
struct RotatedKey {
    merchant_id: String,
    api_key: String,
    earlier_keys_valid_until: String,
}

/// Rotates the API key.
pub(super) async fn key(admin: &Admin, id: &MerchantId, overlap: Duration, json: bool) -> CommandResult {
    let rotated = new_key(admin, id, overlap).await?;
    if json {
        return Ok(output::json(&rotated)?);
    }
    print(vec![
        ("api key", rotated.api_key),
        ("earlier keys", format!("valid until {}", rotated.earlier_keys_valid_until)),
    ])
}

async fn new_key(admin: &Admin, id: &MerchantId, overlap: Duration) -> Result<RotatedKey, Failure> {
    let path = format!("/admin/merchants/{id}/rotate-key");
    admin.ingress.post(&path, &json!({ "overlap_seconds": overlap.as_secs() })).await
}

/// New keys in the place of those that were told at another time: those of `merchant` are all told when this returns. Its earlier
/// API keys go on for `overlap`, its earlier webhook secrets end.
pub(super) async fn untold(
    admin: &Admin,
    id: &MerchantId,
    overlap: Duration,
    mut merchant: Merchant,
) -> Result<Merchant, Failure> {
    if merchant.api_key.is_none() {
        merchant.api_key = Some(new_key(admin, id, overlap).await?.api_key);
    }
    if merchant.webhook_secret.is_none() {
        let rotation = Secret { overlap: Some(Duration::ZERO), replace_last: false, encryption: false };
        merchant.webhook_secret = new_secret(admin, id, &rotation).await?.webhook_secret;
    }
    Ok(merchant)
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
pub(super) async fn secret(admin: &Admin, id: &MerchantId, rotation: Secret, json: bool) -> CommandResult {
    let rotated = new_secret(admin, id, &rotation).await?;
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

async fn new_secret(admin: &Admin, id: &MerchantId, rotation: &Secret) -> Result<RotatedSecret, Failure> {
    let Secret { overlap, replace_last, encryption } = rotation;
    let path = format!("/admin/endpoints/{id}/rotate-secret");
    let body = json!({
        "key": if *encryption { "encryption" } else { "signing" },
        "overlap_seconds": overlap.map(|overlap| overlap.as_secs()),
        "replace_last": replace_last,
    });
    admin.notifier.post(&path, &body).await
}
