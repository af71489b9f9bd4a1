//! All services in this process, configured by the same variables as their own binaries.

use std::{
    collections::BTreeMap,
    env, fs,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use channels::ChannelSet;
use events::ChannelAccount;
use serde_json::Value;
use service::{Loader, Shutdown};
use tokio::{task::JoinSet, time::sleep};
use webhooks::Secret;

use crate::{admin::Admin, failure::Failure};

/// How long the services may take to drain.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
const READY_INTERVAL: Duration = Duration::from_millis(50);
/// What is about another database than a private one.
const FILES_OF_DATABASE: [&str; 4] = [
    "PAYRELAY_DATABASE_CA_FILE",
    "PAYRELAY_DATABASE_CLIENT_CERT_FILE",
    "PAYRELAY_DATABASE_CLIENT_KEY_FILE",
    "PAYRELAY_DATABASE_PASSWORD_FILE",
];
/// What is about another broker than a private one.
const FILES_OF_BROKER: [&str; 3] =
    ["PAYRELAY_AMQP_CA_FILE", "PAYRELAY_AMQP_CLIENT_CERT_FILE", "PAYRELAY_AMQP_CLIENT_KEY_FILE"];
/// The channel account that is always there to play with.
const STANDARD_ACCOUNT: &str = "standard_dev";

/// What encrypts webhook secrets unless the developer has a key: no secret, the same for all, and that of docker-compose.yml.
const MASTER_KEY: &[u8; 32] = b"development-only-master-key-0001";

/// What the pipeline is made of.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) database_url: service::Secret,
    pub(crate) amqp_url: service::Secret,
    /// Whether the database is our own: what the environment says of certificates and passwords is about another.
    pub(crate) is_private_database: bool,
    /// Whether the broker is our own.
    pub(crate) is_private_broker: bool,
    /// The management API of that RabbitMQ, if known.
    pub(crate) management_url: Option<service::Secret>,
    /// A channels file of the developer's own.
    pub(crate) channels_file: Option<String>,
    /// As in `PAYRELAY_RETRY_DELAYS`.
    pub(crate) retry_delays: Option<String>,
    /// As in `PAYRELAY_NOTIFY_LADDER`.
    pub(crate) notify_ladder: Option<String>,
    /// Whose bare order numbers are, unless `PAYRELAY_DEFAULT_MERCHANT_ID` says otherwise.
    pub(crate) default_merchant: Option<String>,
}

/// The running services and what it takes to talk to them.
pub(crate) struct Pipeline {
    pub(crate) ingress_url: String,
    pub(crate) ingress_admin_url: String,
    pub(crate) order_service_url: String,
    pub(crate) order_service_admin_url: String,
    pub(crate) notifier_admin_url: String,
    pub(crate) admin_token: String,
    pub(crate) order_api_token: String,
    /// The account of kind `standard`, and the secret its channel signs with.
    pub(crate) standard_account: ChannelAccount,
    pub(crate) standard_secret: Secret,
    shutdown: Shutdown,
    services: JoinSet<anyhow::Result<()>>,
}

impl Pipeline {
    /// Starts all services on free ports of loopback; they answer when this returns.
    pub(crate) async fn start(settings: &Settings) -> Result<Self, Failure> {
        service::telemetry::metrics();
        service::tls::install();
        let standard_secret = Secret::generate(rand::random());
        let [admin_token, order_api_token] = [(), ()].map(|()| hex::encode(rand::random::<[u8; 32]>()));
        let variables = variables(settings, &admin_token, &order_api_token);

        let shutdown = Shutdown::new();
        let ingress = load(&variables, ingress::Config::load)?;
        add_standard_account(&ingress.channels, &standard_secret)?;
        let ingress = ingress::Service::start(ingress).await?;
        let order_service =
            order_service::Service::start(load(&variables, order_service::Config::load)?).await?;
        let notifier =
            merchant_notifier::Service::start(load(&variables, merchant_notifier::Config::load)?).await?;
        let http = |address| format!("http://{address}");
        let mut pipeline = Self {
            ingress_url: http(ingress.http_addr),
            ingress_admin_url: http(ingress.admin_addr),
            order_service_url: http(order_service.http_addr),
            order_service_admin_url: http(order_service.admin_addr),
            notifier_admin_url: http(notifier.admin_addr),
            admin_token,
            order_api_token,
            standard_account: ChannelAccount::parse(STANDARD_ACCOUNT).map_err(anyhow::Error::from)?,
            standard_secret,
            shutdown: shutdown.clone(),
            services: JoinSet::new(),
        };
        pipeline.services.spawn(ingress.run(shutdown.clone()));
        pipeline.services.spawn(order_service.run(shutdown.clone()));
        pipeline.services.spawn(notifier.run(shutdown));
        Ok(pipeline)
    }

    /// Waits until every service can do its work, but no longer than `limit`: a broker of somebody's own may be away.
    pub(crate) async fn ready(&self, limit: Duration) -> anyhow::Result<()> {
        let (admin, deadline) = (self.admin()?, Instant::now() + limit);
        for service in [&admin.ingress, &admin.order_service, &admin.notifier] {
            while service.get::<Value>("/readyz", &[]).await.is_err() && Instant::now() < deadline {
                sleep(READY_INTERVAL).await;
            }
        }
        Ok(())
    }

    /// A client of the services' admin HTTP.
    pub(crate) fn admin(&self) -> anyhow::Result<Admin> {
        Admin::new(
            [&self.ingress_admin_url, &self.order_service_admin_url, &self.notifier_admin_url],
            &self.admin_token,
        )
    }

    /// Waits until a service stops, which none does by itself but for an error.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        match self.services.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(panic)) => anyhow::Error::from(panic),
            Some(Ok(Ok(()))) | None => anyhow::anyhow!("a service stopped by itself"),
        }
    }

    /// Drains and stops all services.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.begin(SHUTDOWN_GRACE);
        while let Some(stopped) = self.services.join_next().await {
            stopped??;
        }
        Ok(())
    }
}

fn variables(settings: &Settings, admin_token: &str, order_api_token: &str) -> BTreeMap<String, String> {
    let any_port = "127.0.0.1:0";
    let fixed = [
        ("PAYRELAY_DATABASE_URL", settings.database_url.expose()),
        ("PAYRELAY_AMQP_URL", settings.amqp_url.expose()),
        ("PAYRELAY_HTTP_ADDR", any_port),
        ("PAYRELAY_ADMIN_ADDR", any_port),
        ("PAYRELAY_ADMIN_TOKEN", admin_token),
        ("PAYRELAY_ORDER_API_TOKEN", order_api_token),
        // The merchants of a developer's machine live on it.
        ("PAYRELAY_ALLOWED_WEBHOOK_CIDRS", "127.0.0.0/8,::1/128"),
    ];
    // What a developer sets in the environment holds, but for what this process decides.
    let inherited = env::vars().filter(|(name, _)| name.starts_with("PAYRELAY_"));
    let mut variables: BTreeMap<_, _> = inherited.collect();
    variables.retain(|name, _| {
        let foreign = settings.is_private_database && FILES_OF_DATABASE.contains(&name.as_str())
            || settings.is_private_broker && FILES_OF_BROKER.contains(&name.as_str());
        !foreign
    });
    // A database that is kept needs the key that its secrets were encrypted with.
    if !variables.contains_key("PAYRELAY_MASTER_KEY_FILE") {
        variables.entry("PAYRELAY_MASTER_KEY".to_owned()).or_insert_with(|| STANDARD.encode(MASTER_KEY));
    }
    if let Some(merchant) = &settings.default_merchant {
        variables.entry("PAYRELAY_DEFAULT_MERCHANT_ID".to_owned()).or_insert_with(|| merchant.clone());
    }
    for (name, value) in fixed {
        variables.remove(&format!("{name}_FILE"));
        variables.insert(name.to_owned(), value.to_owned());
    }
    for (name, value) in [
        ("PAYRELAY_CHANNELS_FILE", settings.channels_file.as_deref()),
        ("PAYRELAY_RETRY_DELAYS", settings.retry_delays.as_deref()),
        ("PAYRELAY_NOTIFY_LADDER", settings.notify_ladder.as_deref()),
        ("PAYRELAY_MANAGEMENT_URL", settings.management_url.as_ref().map(service::Secret::expose)),
    ] {
        if let Some(value) = value {
            variables.remove(&format!("{name}_FILE"));
            variables.insert(name.to_owned(), value.to_owned());
        }
    }
    variables
}

fn load<C>(variables: &BTreeMap<String, String>, load: impl FnOnce(&mut Loader) -> C) -> Result<C, Failure> {
    let mut loader = Loader::from_map(variables.clone());
    let config = load(&mut loader);
    loader.finish().map_err(|errors| Failure::Usage(errors.to_string()))?;
    Ok(config)
}

/// Adds the account that is always there to the developer's channels.
fn add_standard_account(own: &ingress::Channels, secret: &Secret) -> Result<(), Failure> {
    if own.current().account(STANDARD_ACCOUNT).is_some() {
        let expected = "expected another name for an account, payrelay dev has one of this name itself";
        return Err(Failure::Usage(format!("[{STANDARD_ACCOUNT}]: {expected}")));
    }
    let text = format!("[{STANDARD_ACCOUNT}]\nkind = \"standard\"\nsecret = \"{}\"\n", &*secret.expose());
    let standard = ChannelSet::parse(&text, |path| fs::read(path)).map_err(anyhow::Error::from)?;
    own.add(&standard);
    Ok(())
}
