//! `payrelay webhook`: what the notifier would do, asked of its own code without a server.

use std::net::IpAddr;

use clap::{Args, Subcommand};
use merchant_notifier::ssrf::{self, TargetPolicy};
use serde_json::json;
use transport::shown_url;
use webhooks::target::Networks;

use crate::{
    failure::{CommandResult, Failure},
    output,
};

/// What to ask about webhooks.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// Say whether the notifier would call a URL, and why not. Exits with 0 if it would, 1 if not.
    Check(CheckOptions),
}

/// What to judge.
#[derive(Debug, Args)]
pub(crate) struct CheckOptions {
    /// Where a webhook is to go.
    url: String,
    /// Judge as if the host name resolved to this address; given several times, to all of them. Without it the name is looked up.
    #[arg(long = "ip", value_name = "ADDRESS")]
    addresses: Vec<IpAddr>,
    /// Private networks that the notifier lets through, as `10.1.0.0/16,fd00::/8`.
    #[arg(
        long,
        env = "PAYRELAY_ALLOWED_WEBHOOK_CIDRS",
        hide_env_values = true,
        value_name = "NETWORKS",
        default_value = ""
    )]
    allowed_cidrs: Networks,
}

/// Runs the command.
pub(crate) async fn run(command: WebhookCommand, json: bool) -> CommandResult {
    let WebhookCommand::Check(CheckOptions { url, addresses, allowed_cidrs }) = command;
    let judged = ssrf::check(&TargetPolicy::new(allowed_cidrs.0), &url, &addresses).await;
    if json {
        let (code, detail) = judged.as_ref().err().map(|why| (why.code(), why.to_string())).unzip();
        let addresses = judged.as_ref().map_or(&[][..], Vec::as_slice);
        output::json(&json!({
            "url": shown_url(&url), "allowed": judged.is_ok(), "reason": code, "detail": detail, "addresses": addresses,
        }))?;
    }
    let shown = shown_url(&url);
    match judged {
        Ok(_) if json => Ok(()),
        Ok(addresses) => {
            let addresses: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
            Ok(output::line(format!("yes: the notifier would call {shown} at {}", addresses.join(", ")))?)
        }
        Err(why) => {
            if !json {
                output::line(format!("no: {why}"))?;
            }
            Err(Failure::Findings(format!("the notifier would not call {shown}")))
        }
    }
}
