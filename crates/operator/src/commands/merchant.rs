//! `payrelay merchant`: a merchant is known to the ingress, which takes its pay orders, and to the notifier, which
//! calls its endpoint. Both are put by their admin HTTP; putting the same again changes nothing.

use std::time::Duration;

use clap::{Args, Subcommand};
use events::MerchantId;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    admin::Admin,
    arguments::parse_duration,
    failure::{Failure, Outcome},
    output,
};

/// What to do with merchants.
#[derive(Debug, Subcommand)]
pub(crate) enum MerchantCommand {
    /// Add a merchant, or change its name and endpoint. Prints its API key and webhook secret when they are new.
    Add(AddMerchant),
    /// List all merchants.
    List,
    /// Show one merchant.
    Show {
        /// Its id.
        merchant_id: MerchantId,
    },
    /// Take its API key again, and send its webhooks, also those that waited meanwhile.
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
}

/// A merchant to add.
#[derive(Debug, Args)]
pub(crate) struct AddMerchant {
    /// Its id: 1 to 64 letters, digits, or any of -_.:@
    pub(crate) merchant_id: MerchantId,
    /// A name for people.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Where its webhooks go, unless a pay order says otherwise.
    #[arg(long, value_name = "URL")]
    pub(crate) webhook_url: Option<String>,
    /// What acknowledges a webhook: any 2xx, or a 2xx with the body `success`.
    #[arg(long, value_parser = ["any_2xx", "success"])]
    pub(crate) ack: Option<String>,
}

/// A merchant as the ingress and the notifier together know it.
#[derive(Debug, Serialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the fields name what the JSON holds, as the services spell it"
)]
pub(crate) struct Merchant {
    pub(crate) merchant_id: String,
    pub(crate) name: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) webhook_url: Option<String>,
    /// Whether its endpoint is called; an answer 410 ends that, too. `None` if it has no endpoint.
    pub(crate) webhooks_enabled: Option<bool>,
    /// Whether its endpoint is spared after failures in a row. `None` if it has no endpoint.
    pub(crate) breaker: Option<Breaker>,
    /// Given once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api_key: Option<String>,
    /// Given once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) webhook_secret: Option<String>,
}

/// The circuit breaker of an endpoint; times as RFC 3339.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Breaker {
    open: bool,
    failures: u32,
    opened_at: Option<String>,
    probe_at: Option<String>,
}

#[derive(Debug, Deserialize)]
struct IngressMerchant {
    merchant_id: String,
    name: Option<String>,
    enabled: bool,
    api_key: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    merchant_id: String,
    url: Option<String>,
    enabled: bool,
    breaker: Breaker,
    secret: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(admin: &Admin, command: MerchantCommand, json: bool) -> Outcome {
    match command {
        MerchantCommand::Add(merchant) => show(&add(admin, &merchant).await?, json),
        MerchantCommand::Show { merchant_id } => show(&find(admin, &merchant_id).await?, json),
        MerchantCommand::List => list(admin, json).await,
        MerchantCommand::Enable { merchant_id } => show(&enable(admin, &merchant_id, true).await?, json),
        MerchantCommand::Disable { merchant_id } => show(&enable(admin, &merchant_id, false).await?, json),
        MerchantCommand::RotateKey { merchant_id, overlap } => {
            rotate_key(admin, &merchant_id, overlap, json).await
        }
    }
}

/// Puts the merchant to the notifier first: an event that comes in between finds its endpoint.
pub(crate) async fn add(admin: &Admin, merchant: &AddMerchant) -> Result<Merchant, Failure> {
    let mut endpoint = json!({});
    if let Some(url) = &merchant.webhook_url {
        endpoint["url"] = json!(url);
    }
    if let Some(ack) = &merchant.ack {
        endpoint["ack"] = json!(ack);
    }
    let id = &merchant.merchant_id;
    let endpoint: Endpoint = admin.notifier.put(&format!("/admin/endpoints/{id}"), &endpoint).await?;
    let name = merchant.name.as_ref().map_or_else(|| json!({}), |name| json!({ "name": name }));
    let ingress: IngressMerchant = admin.ingress.put(&format!("/admin/merchants/{id}"), &name).await?;
    Ok(joined(ingress, Some(endpoint)))
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

/// A new API key as the ingress answers it.
#[derive(Debug, Serialize, Deserialize)]
struct RotatedKey {
    merchant_id: String,
    api_key: String,
    earlier_keys_valid_until: String,
}

async fn rotate_key(admin: &Admin, id: &MerchantId, overlap: Duration, json: bool) -> Outcome {
    let path = format!("/admin/merchants/{id}/rotate-key");
    let body = json!({ "overlap_seconds": overlap.as_secs() });
    let rotated: RotatedKey = admin.ingress.post(&path, &body).await?;
    if json {
        return Ok(output::json(&rotated)?);
    }
    output::line(format!("api key         {}", rotated.api_key))?;
    Ok(output::line(format!("earlier keys    valid until {}", rotated.earlier_keys_valid_until))?)
}

async fn list(admin: &Admin, json: bool) -> Outcome {
    let merchants: Vec<IngressMerchant> = admin.ingress.get("/admin/merchants", &[]).await?;
    let mut endpoints: Vec<Endpoint> = admin.notifier.get("/admin/endpoints", &[]).await?;
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
    let rows = merchants.into_iter().map(|merchant| {
        let [enabled, webhooks] = [Some(merchant.enabled), merchant.webhooks_enabled].map(yes_or_no);
        let [name, url] =
            [merchant.name, merchant.webhook_url].map(|text| text.unwrap_or_else(|| "-".to_owned()));
        [merchant.merchant_id, name, enabled, webhooks, url]
    });
    Ok(output::table(["MERCHANT", "NAME", "ENABLED", "WEBHOOKS", "WEBHOOK URL"], rows)?)
}

impl Breaker {
    fn told(&self) -> String {
        let [opened_at, probe_at] =
            [&self.opened_at, &self.probe_at].map(|time| time.as_deref().unwrap_or("-"));
        match (self.open, self.failures) {
            (true, failures) => {
                format!("open since {opened_at}, {failures} failures in a row, next probe at {probe_at}")
            }
            (false, 0) => "closed".to_owned(),
            (false, failures) => format!("closed, {failures} failures in a row"),
        }
    }
}

fn yes_or_no(flag: Option<bool>) -> String {
    flag.map_or("-", |flag| if flag { "yes" } else { "no" }).to_owned()
}

fn joined(ingress: IngressMerchant, endpoint: Option<Endpoint>) -> Merchant {
    let (webhooks_enabled, webhook_url, webhook_secret, breaker) = endpoint
        .map_or((None, None, None, None), |endpoint| {
            (Some(endpoint.enabled), endpoint.url, endpoint.secret, Some(endpoint.breaker))
        });
    Merchant {
        merchant_id: ingress.merchant_id,
        name: ingress.name,
        enabled: ingress.enabled,
        webhook_url,
        webhooks_enabled,
        breaker,
        api_key: ingress.api_key,
        webhook_secret,
    }
}

fn show(merchant: &Merchant, json: bool) -> Outcome {
    if json {
        return Ok(output::json(merchant)?);
    }
    let secret = |secret: &Option<String>| {
        secret.clone().unwrap_or_else(|| "(shown once, when it was made)".to_owned())
    };
    let none = || "-".to_owned();
    let rows = [
        ["merchant".to_owned(), merchant.merchant_id.clone()],
        ["name".to_owned(), merchant.name.clone().unwrap_or_else(none)],
        ["enabled".to_owned(), yes_or_no(Some(merchant.enabled))],
        ["webhooks".to_owned(), yes_or_no(merchant.webhooks_enabled)],
        ["breaker".to_owned(), merchant.breaker.as_ref().map_or_else(none, Breaker::told)],
        ["webhook url".to_owned(), merchant.webhook_url.clone().unwrap_or_else(none)],
        ["api key".to_owned(), secret(&merchant.api_key)],
        ["webhook secret".to_owned(), secret(&merchant.webhook_secret)],
    ];
    for [name, value] in rows {
        output::line(format!("{name:<16}{value}"))?;
    }
    Ok(())
}
