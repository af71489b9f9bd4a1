//! `payrelay merchant`: a merchant is known to the ingress, which takes its pay orders, and to the notifier, which
//! calls its endpoint. Both are put by their admin HTTP; putting the same again changes nothing.

mod rotate;
mod view;

use std::time::Duration;

use admin_api::limit::Limit;
use clap::{Args, Subcommand};
use events::MerchantId;
use serde::Deserialize;
use serde_json::json;

use crate::{
    admin::Admin,
    arguments::parse_duration,
    failure::{CommandResult, Failure},
    output,
};

pub(crate) use view::Merchant;
use view::{Endpoint, joined, show};

/// What to do with merchants.
#[derive(Debug, Subcommand)]
pub(crate) enum MerchantCommand {
    /// Add a merchant, or change its name and endpoint. Prints its API key and webhook keys when they are new.
    Add(AddMerchant),
    /// List all merchants.
    List,
    /// Show one merchant.
    Show {
        /// Its id.
        merchant_id: MerchantId,
    },
    /// Accept its API key again and send its webhooks, including those that waited.
    Enable {
        /// Its id.
        merchant_id: MerchantId,
    },
    /// Refuse its API key and hold its webhooks back. Payments under way are still taken from their channels.
    Disable {
        /// Its id.
        merchant_id: MerchantId,
    },
    /// Give it a new API key, which is printed once. Services follow within two seconds.
    RotateKey {
        /// Its id.
        merchant_id: MerchantId,
        /// How long its earlier keys are still taken, as `24h` (s, m, h, d; at most 30d); `0s` ends them at once.
        #[arg(long, default_value = "24h", value_parser = parse_duration)]
        overlap: Duration,
    },
    /// Give its webhooks a new signing secret, which is printed once. Meanwhile they carry both signatures, the new one first.
    RotateSecret {
        /// Its id.
        merchant_id: MerchantId,
        /// How long the earlier secrets still sign, as `24h` (s, m, h, d; at most 30d); `0s` ends them at once. 24h unless
        /// given; a form holds one signature, and data is encrypted with one key, so these change at once.
        #[arg(long, value_parser = parse_duration)]
        overlap: Option<Duration>,
        /// The last new secret was lost before the merchant had it: end it at once, and none of the earlier ones.
        #[arg(long, conflicts_with_all = ["overlap", "encryption"])]
        replace_last: bool,
        /// Replace the key that data is encrypted with, and no secret.
        #[arg(long)]
        encryption: bool,
    },
}

/// A merchant to add.
#[derive(Debug, Args)]
pub(crate) struct AddMerchant {
    /// Its id: 1 to 64 letters, digits, or any of -_.:@
    pub(crate) merchant_id: MerchantId,
    /// A name for people.
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) endpoint: EndpointOptions,
}

/// What to put of the endpoint; what is left out stays as it is.
#[derive(Debug, Default, Args)]
pub(crate) struct EndpointOptions {
    /// Where its webhooks go, unless a pay order says otherwise.
    #[arg(long, value_name = "URL")]
    pub(crate) webhook_url: Option<String>,
    /// What acknowledges a webhook: any 2xx, or a 2xx with the body `success`. A new format brings its own.
    #[arg(long, value_parser = ["any_2xx", "success"])]
    pub(crate) ack: Option<String>,
    /// What webhooks look like: Standard Webhooks, or forms as payment gateways of the Jeepay kind send them.
    #[arg(long, value_parser = ["standard", "form-md5"])]
    pub(crate) format: Option<String>,
    /// Which signatures a webhook of the format `standard` carries: HMAC, Ed25519, or both.
    #[arg(long, value_parser = ["v1", "v1a", "both"])]
    pub(crate) signature: Option<String>,
    /// Whether the data of a webhook of the format `standard` is encrypted.
    #[arg(long, value_parser = ["aes-256-gcm", "none"])]
    pub(crate) encryption: Option<String>,
}

#[derive(Debug, Deserialize)]
struct IngressMerchant {
    merchant_id: String,
    name: Option<String>,
    enabled: bool,
    api_key: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(admin: &Admin, command: MerchantCommand, json: bool) -> CommandResult {
    match command {
        MerchantCommand::Add(merchant) => show(&add(admin, &merchant).await?, json),
        MerchantCommand::Show { merchant_id } => show(&find(admin, &merchant_id).await?, json),
        MerchantCommand::List => list(admin, json).await,
        MerchantCommand::Enable { merchant_id } => show(&enable(admin, &merchant_id, true).await?, json),
        MerchantCommand::Disable { merchant_id } => show(&enable(admin, &merchant_id, false).await?, json),
        MerchantCommand::RotateKey { merchant_id, overlap } => {
            rotate::key(admin, &merchant_id, overlap, json).await
        }
        MerchantCommand::RotateSecret { merchant_id, overlap, replace_last, encryption } => {
            let rotation = rotate::Secret { overlap, replace_last, encryption };
            rotate::secret(admin, &merchant_id, rotation, json).await
        }
    }
}

/// Puts the merchant to the notifier first: an event that comes in between finds its endpoint.
pub(crate) async fn add(admin: &Admin, merchant: &AddMerchant) -> Result<Merchant, Failure> {
    let EndpointOptions { webhook_url, ack, format, signature, encryption } = &merchant.endpoint;
    let options = [
        ("url", webhook_url),
        ("ack", ack),
        ("format", format),
        ("signature", signature),
        ("encryption", encryption),
    ];
    let mut endpoint = json!({});
    for (field, value) in options {
        match value.as_deref() {
            Some("none") if field == "encryption" => endpoint[field] = json!(null),
            Some(value) => endpoint[field] = json!(value),
            None => {}
        }
    }
    let id = &merchant.merchant_id;
    let endpoint: Endpoint = admin.notifier.put(&format!("/admin/endpoints/{id}"), &endpoint).await?;
    let name = merchant.name.as_ref().map_or_else(|| json!({}), |name| json!({ "name": name }));
    let ingress: IngressMerchant = admin.ingress.put(&format!("/admin/merchants/{id}"), &name).await?;
    Ok(joined(ingress, Some(endpoint)))
}

/// The same, with all keys told: whoever had them before has earlier ones.
pub(crate) async fn add_with_keys(
    admin: &Admin,
    merchant: &AddMerchant,
    overlap: Duration,
) -> Result<Merchant, Failure> {
    let added = add(admin, merchant).await?;
    rotate::untold(admin, &merchant.merchant_id, overlap, added).await
}

async fn find(admin: &Admin, id: &MerchantId) -> Result<Merchant, Failure> {
    let ingress = admin.ingress.find(&format!("/admin/merchants/{id}"), &[]).await?;
    let ingress = ingress.ok_or_else(|| {
        Failure::Findings(format!("no merchant {id}; add it with: payrelay merchant add {id}"))
    })?;
    Ok(joined(ingress, admin.notifier.find(&format!("/admin/endpoints/{id}"), &[]).await?))
}

/// Enables or disables what there is: putting what is not there would make it.
async fn enable(admin: &Admin, id: &MerchantId, enabled: bool) -> Result<Merchant, Failure> {
    let has_endpoint = find(admin, id).await?.webhooks_enabled.is_some();
    let change = json!({ "enabled": enabled });
    let ingress: IngressMerchant = admin.ingress.put(&format!("/admin/merchants/{id}"), &change).await?;
    let endpoint = if has_endpoint {
        Some(admin.notifier.put(&format!("/admin/endpoints/{id}"), &change).await?)
    } else {
        None
    };
    Ok(joined(ingress, endpoint))
}

async fn list(admin: &Admin, json: bool) -> CommandResult {
    let limit = [("limit", Limit::MOST.get().to_string())];
    let merchants: Vec<IngressMerchant> = admin.ingress.get("/admin/merchants", &limit).await?;
    let mut endpoints: Vec<Endpoint> = admin.notifier.get("/admin/endpoints", &limit).await?;
    if merchants.len() == Limit::MOST.as_usize() {
        let most = merchants.len();
        output::progress(format!(
            "the first {most} merchants by id; `payrelay merchant show ID` shows any other"
        ));
    }
    let merchants: Vec<_> = merchants
        .into_iter()
        .map(|merchant| {
            let endpoint = endpoints.iter().position(|endpoint| endpoint.merchant_id == merchant.merchant_id);
            joined(merchant, endpoint.map(|index| endpoints.swap_remove(index)))
        })
        .collect();
    if json {
        return Ok(output::json(&merchants)?);
    }
    Ok(output::table(view::HEADER, merchants.into_iter().map(Merchant::row))?)
}
