//! `payrelay dev`: the whole pipeline in one process, to develop and to try against.

use std::future::pending;
use std::io::{self, IsTerminal};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use devstack::{Stack, StackOptions};
use events::MerchantId;
use serde_json::{Value, json};
use service::{Secret, Shutdown};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    commands::merchant::{self, AddMerchant, EndpointOptions, Merchant},
    failure::{CommandResult, Failure},
    output,
    pipeline::{Pipeline, Settings},
};

/// The merchant that is made to be tried.
const MERCHANT: &str = "dev-merchant";
/// How long a key that an earlier start on the same database has printed is still taken.
const KEY_OVERLAP: Duration = Duration::from_secs(24 * 3600);
/// How long the services may take to be ready before their addresses are told all the same.
const READY_LIMIT: Duration = Duration::from_secs(15);

/// What to run on, and how fast to retry.
#[derive(Debug, Args)]
pub(crate) struct DevOptions {
    /// A channels file of your own, besides the account that is always there.
    #[arg(long, value_name = "FILE")]
    channels: Option<String>,
    /// Where the webhooks of the merchant go.
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// Delays of the retry queues.
    #[arg(long, value_name = "DELAYS", default_value = "1s,2s,3s")]
    retry_delays: String,
    /// Delays between the attempts at a webhook.
    #[arg(long, value_name = "DELAYS", default_value = "1s,2s,3s,5s,10s,30s,1m,5m")]
    notify_ladder: String,
    /// A PostgreSQL to use in place of a private one. It may have been used before: each start prints new keys of the merchant.
    #[arg(long, value_name = "URL")]
    database_url: Option<Secret>,
    /// A RabbitMQ to use in place of a private one.
    #[arg(long, value_name = "URL")]
    amqp_url: Option<Secret>,
}

/// The private servers, as far as there are any, and the URLs of those in use.
struct Servers {
    stack: Option<Stack>,
    postgres: bool,
    rabbitmq: bool,
}

/// Runs until a signal comes or a service fails.
pub(crate) async fn run(options: DevOptions, json: bool) -> CommandResult {
    service::telemetry::init_from_env("warn,lapin=off").map_err(|error| Failure::Usage(error.to_string()))?;
    let shutdown =
        Shutdown::on_signals(Duration::ZERO, Duration::from_secs(10)).context("cannot watch for signals")?;
    let terminal = io::stdin().is_terminal();
    let servers = Servers::start(options.database_url.is_none(), options.amqp_url.is_none()).await?;
    let management_url = servers.rabbitmq.then(|| servers.stack().rabbitmq().management_url());
    let settings = Settings {
        management_url: management_url
            .or_else(|| std::env::var("PAYRELAY_MANAGEMENT_URL").ok())
            .map(Secret::from),
        is_private_database: servers.postgres,
        is_private_broker: servers.rabbitmq,
        database_url: options
            .database_url
            .unwrap_or_else(|| servers.stack().postgres().database_url().into()),
        amqp_url: options.amqp_url.unwrap_or_else(|| servers.stack().rabbitmq().amqp_url().into()),
        channels_file: options.channels,
        retry_delays: Some(options.retry_delays),
        notify_ladder: Some(options.notify_ladder),
        default_merchant: Some(MERCHANT.to_owned()),
    };
    output::progress("starting the services ...");
    // A database of the developer's own may be away, and is waited for.
    let starting = Box::pin(Pipeline::start(&settings));
    let Some(started) = shutdown.soft.run_until_cancelled(starting).await else { return Ok(()) };
    let mut pipeline = started?;
    let merchant = AddMerchant {
        merchant_id: MerchantId::parse(MERCHANT).map_err(anyhow::Error::from)?,
        name: Some("A merchant to try".to_owned()),
        endpoint: EndpointOptions { webhook_url: options.webhook_url, ..EndpointOptions::default() },
    };
    let merchant = merchant::add_with_keys(&pipeline.admin()?, &merchant, KEY_OVERLAP).await?;
    // Who reads the addresses may ask the doctor at once.
    shutdown.soft.run_until_cancelled(pipeline.ready(READY_LIMIT)).await.transpose()?;
    let addresses = addresses(&pipeline, &settings, &merchant, &servers.pids());
    if json {
        output::json(&addresses)?;
    } else {
        print(&addresses)?;
    }
    tokio::select! {
        () = shutdown.soft.cancelled() => {}
        () = terminal_closed(terminal) => {}
        error = pipeline.failed() => return Err(error.into()),
    }
    output::progress("stopping ...");
    pipeline.stop().await?;
    Ok(())
}

/// Until the terminal that there was is gone. SIGHUP says so, and to the ingress also that it shall read its channels file again.
async fn terminal_closed(terminal: bool) {
    let Ok(mut hangups) = signal(SignalKind::hangup()) else { return pending().await };
    while hangups.recv().await.is_some() {
        if terminal && !io::stdin().is_terminal() {
            return;
        }
    }
    pending::<()>().await;
}

impl Servers {
    /// Starts the private servers that are wanted.
    async fn start(postgres: bool, rabbitmq: bool) -> anyhow::Result<Self> {
        if !postgres && !rabbitmq {
            return Ok(Self { stack: None, postgres, rabbitmq });
        }
        output::progress("starting private servers ...");
        let options = StackOptions { postgres, rabbitmq, durable: true };
        let stack = tokio::task::spawn_blocking(move || Stack::start(&options)).await??;
        Ok(Self { stack: Some(stack), postgres, rabbitmq })
    }

    fn stack(&self) -> &Stack {
        self.stack.as_ref().expect("asked only for a server that was started")
    }

    fn pids(&self) -> Value {
        json!({
            "postgres": self.postgres.then(|| self.stack().postgres().pid()),
            "rabbitmq": self.rabbitmq.then(|| self.stack().rabbitmq().pid()),
        })
    }
}

fn addresses(pipeline: &Pipeline, settings: &Settings, merchant: &Merchant, pids: &Value) -> Value {
    json!({
        "ingress_url": pipeline.ingress_url,
        "ingress_admin_url": pipeline.ingress_admin_url,
        "order_service_url": pipeline.order_service_url,
        "order_service_admin_url": pipeline.order_service_admin_url,
        "notifier_admin_url": pipeline.notifier_admin_url,
        "database_url": settings.database_url.expose(),
        "amqp_url": settings.amqp_url.expose(),
        "management_url": settings.management_url.as_ref().map(Secret::expose),
        "admin_token": pipeline.admin_token,
        "order_api_token": pipeline.order_api_token,
        "merchant_id": merchant.merchant_id,
        "merchant_api_key": merchant.api_key,
        "webhook_secret": merchant.webhook_secret,
        "standard_channel": {
            "account": pipeline.standard_account,
            "secret": *pipeline.standard_secret.expose(),
        },
        "pids": pids,
    })
}

fn print(addresses: &Value) -> anyhow::Result<()> {
    output::line("payrelay is up; Ctrl-C stops it and removes its servers.\n")?;
    for (name, value) in addresses.as_object().into_iter().flatten() {
        match value {
            Value::Object(parts) => {
                for (part, value) in parts {
                    output::line(format!("{:<28}{}", format!("{name}.{part}"), text(value)))?;
                }
            }
            value => output::line(format!("{name:<28}{}", text(value)))?,
        }
    }
    output::line("\nOperate it from another terminal:")?;
    for (variable, field) in [
        ("PAYRELAY_ADMIN_TOKEN", "admin_token"),
        ("PAYRELAY_INGRESS_ADMIN_URL", "ingress_admin_url"),
        ("PAYRELAY_ORDER_SERVICE_ADMIN_URL", "order_service_admin_url"),
        ("PAYRELAY_NOTIFIER_ADMIN_URL", "notifier_admin_url"),
        ("PAYRELAY_AMQP_URL", "amqp_url"),
    ] {
        output::line(format!("export {variable}={}", text(&addresses[field])))?;
    }
    Ok(())
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
