//! A merchant as it is printed.

use serde::{Deserialize, Serialize};

use super::IngressMerchant;
use crate::{failure::CommandResult, output};

/// The columns of a listing.
pub(super) const HEADER: [&str; 6] = ["MERCHANT", "NAME", "ENABLED", "WEBHOOKS", "FORMAT", "WEBHOOK URL"];

/// A merchant as the ingress and the notifier together know it. What is of its endpoint is `None` if it has none.
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
    /// Whether its endpoint is called; an answer 410 ends that, too.
    pub(crate) webhooks_enabled: Option<bool>,
    ack: Option<String>,
    format: Option<String>,
    signature: Option<String>,
    encryption: Option<String>,
    /// What Ed25519 signatures are verified with; no secret.
    webhook_public_key: Option<String>,
    /// Until when earlier secrets sign beside the present one.
    earlier_secrets_valid_until: Option<String>,
    /// Whether its endpoint is spared after failures in a row.
    pub(crate) breaker: Option<Breaker>,
    /// Given once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api_key: Option<String>,
    /// Given once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) webhook_secret: Option<String>,
    /// Given once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_key: Option<String>,
}

/// The circuit breaker of an endpoint; times as RFC 3339.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Breaker {
    open: bool,
    failures: u32,
    opened_at: Option<String>,
    probe_at: Option<String>,
}

/// An endpoint as the notifier tells it.
#[derive(Debug, Deserialize)]
pub(super) struct Endpoint {
    pub(super) merchant_id: String,
    url: Option<String>,
    enabled: bool,
    ack: String,
    format: String,
    signature: Option<String>,
    encryption: Option<String>,
    public_key: Option<String>,
    earlier_secrets_valid_until: Option<String>,
    breaker: Breaker,
    secret: Option<String>,
    encryption_key: Option<String>,
}

pub(super) fn joined(ingress: IngressMerchant, endpoint: Option<Endpoint>) -> Merchant {
    let mut merchant = Merchant {
        merchant_id: ingress.merchant_id,
        name: ingress.name,
        enabled: ingress.enabled,
        webhook_url: None,
        webhooks_enabled: None,
        ack: None,
        format: None,
        signature: None,
        encryption: None,
        webhook_public_key: None,
        earlier_secrets_valid_until: None,
        breaker: None,
        api_key: ingress.api_key,
        webhook_secret: None,
        encryption_key: None,
    };
    if let Some(endpoint) = endpoint {
        merchant.webhook_url = endpoint.url;
        merchant.webhooks_enabled = Some(endpoint.enabled);
        merchant.ack = Some(endpoint.ack);
        merchant.format = Some(endpoint.format);
        merchant.signature = endpoint.signature;
        merchant.encryption = endpoint.encryption;
        merchant.webhook_public_key = endpoint.public_key;
        merchant.earlier_secrets_valid_until = endpoint.earlier_secrets_valid_until;
        merchant.breaker = Some(endpoint.breaker);
        merchant.webhook_secret = endpoint.secret;
        merchant.encryption_key = endpoint.encryption_key;
    }
    merchant
}

impl Merchant {
    /// Its row under [`HEADER`].
    pub(super) fn row(self) -> [String; 6] {
        let [enabled, webhooks] = [Some(self.enabled), self.webhooks_enabled].map(yes_or_no);
        let format = self.told_format();
        let [name, url] = [self.name, self.webhook_url].map(|text| text.unwrap_or_else(none));
        [self.merchant_id, name, enabled, webhooks, format, url]
    }

    /// As `standard v1 aes-256-gcm`, or `form-md5`.
    fn told_format(&self) -> String {
        let parts: Vec<&str> = [&self.format, &self.signature, &self.encryption]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        if parts.is_empty() { none() } else { parts.join(" ") }
    }
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

fn none() -> String {
    "-".to_owned()
}

pub(super) fn show(merchant: &Merchant, json: bool) -> CommandResult {
    if json {
        return Ok(output::json(merchant)?);
    }
    let secret = |secret: &Option<String>| {
        secret.clone().unwrap_or_else(|| "(shown once, when it was made)".to_owned())
    };
    let mut rows = vec![
        ("merchant", merchant.merchant_id.clone()),
        ("name", merchant.name.clone().unwrap_or_else(none)),
        ("enabled", yes_or_no(Some(merchant.enabled))),
        ("webhooks", yes_or_no(merchant.webhooks_enabled)),
        ("breaker", merchant.breaker.as_ref().map_or_else(none, Breaker::told)),
        ("webhook url", merchant.webhook_url.clone().unwrap_or_else(none)),
        ("webhook format", merchant.told_format()),
        ("acknowledged by", merchant.ack.clone().unwrap_or_else(none)),
        ("api key", secret(&merchant.api_key)),
    ];
    // Ed25519 alone has no secret for the merchant.
    if merchant.signature.as_deref() != Some("v1a") {
        rows.push(("webhook secret", secret(&merchant.webhook_secret)));
    }
    rows.extend(merchant.webhook_public_key.clone().map(|key| ("public key", key)));
    if merchant.encryption.is_some() {
        rows.push(("encryption key", secret(&merchant.encryption_key)));
    }
    let until = merchant.earlier_secrets_valid_until.as_ref();
    rows.extend(until.map(|until| ("earlier secrets", format!("valid until {until}"))));
    print(rows)
}

/// Prints names and values, one pair a line.
pub(super) fn print(rows: Vec<(&str, String)>) -> CommandResult {
    for (name, value) in rows {
        output::line(format!("{name:<16}{value}"))?;
    }
    Ok(())
}
