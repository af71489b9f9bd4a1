//! The whole pipeline under test.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use devstack::testing::{Database, Vhost};
use devstack::{Stack, StackOptions};
use serde_json::Value;
use tempfile::TempDir;
use webhooks::Secret;

use crate::cli::{Answer, run_program};
use crate::identities::{ADMIN_TOKEN, CHANNEL, DEFAULT_MERCHANT, Merchant, ORDER_API_TOKEN};
use crate::service::Service;
use crate::shop::Shop;

/// About two seconds, then a message is dead-lettered.
const RETRY_DELAYS: &str = "300ms,600ms,1s";
/// Quick at first, then for as long as any scenario lasts.
const NOTIFY_LADDER: &str = "300ms,500ms,1s,1s,2s,2s,2s,3s,3s,3s,5s,5s,5s,5s,5s,5s,5s,5s,5s,5s";

/// The servers that a pipeline stands on.
#[derive(Debug)]
pub enum Servers {
    /// A fresh database and a fresh vhost on the servers of all tests.
    Shared(Database, Vhost),
    /// Servers that a scenario may crash.
    Own(Box<Stack>),
}

impl Servers {
    /// A fresh database and a fresh vhost.
    pub fn shared() -> Self {
        Self::Shared(Database::create(), Vhost::create())
    }

    /// A pair of servers of one's own.
    pub fn own() -> Self {
        let options = StackOptions { durable: false, ..StackOptions::default() };
        Self::Own(Box::new(
            Stack::start(&options).unwrap_or_else(|error| panic!("servers to crash: {error}")),
        ))
    }

    /// The servers to crash.
    pub fn stack(&self) -> &Stack {
        match self {
            Self::Own(stack) => stack,
            Self::Shared(..) => panic!("nobody may crash the servers of all tests"),
        }
    }

    /// The vhost on the shared broker.
    pub fn vhost(&self) -> &Vhost {
        match self {
            Self::Shared(_, vhost) => vhost,
            Self::Own(_) => panic!("a stack of one's own has no test vhost"),
        }
    }

    /// `PAYRELAY_DATABASE_URL`
    pub fn database_url(&self) -> String {
        match self {
            Self::Shared(database, _) => database.url().to_owned(),
            Self::Own(stack) => stack.postgres().database_url(),
        }
    }

    /// `PAYRELAY_MANAGEMENT_URL`
    pub fn management_url(&self) -> String {
        match self {
            Self::Shared(..) => devstack::testing::servers().management_url,
            Self::Own(stack) => stack.rabbitmq().management_url(),
        }
    }

    /// `PAYRELAY_AMQP_URL`
    pub fn amqp_url(&self) -> String {
        match self {
            Self::Shared(_, vhost) => vhost.amqp_url().to_owned(),
            Self::Own(stack) => stack.rabbitmq().amqp_url(),
        }
    }
}

/// What a scenario wants to be different.
#[derive(Debug)]
pub struct Options {
    /// How many of each service.
    pub replicas: usize,
    /// Variables for all services, over the harness's own.
    pub environment: Vec<(&'static str, &'static str)>,
}

impl Default for Options {
    fn default() -> Self {
        Self { replicas: 1, environment: Vec::new() }
    }
}

/// Running services on servers of their own. Dropping it kills the services, then removes the servers' contents.
#[derive(Debug)]
pub struct Pipeline {
    /// Replicas of the ingress.
    pub ingress: Vec<Service>,
    /// Replicas of the order service.
    pub order_service: Vec<Service>,
    /// Replicas of the notifier.
    pub notifier: Vec<Service>,
    /// Signs callbacks of [`CHANNEL`].
    pub channel_secret: Secret,
    /// Declared, and dropped, after the services.
    pub servers: Servers,
    /// Logs and the channels file, unless they are to outlive the pipeline.
    _folder: Option<TempDir>,
}

impl Pipeline {
    /// Starts all services at once and waits until each is ready.
    pub async fn start(servers: Servers, options: Options) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let direct = |_: &str, _: usize| Vec::new();
        let pipeline = Self::start_in(folder.path(), servers, options, direct).await;
        Self { _folder: Some(folder), ..pipeline }
    }

    /// The same, logging to `{program}-{replica}.log` in this folder. `own` gives further variables to each replica, counted
    /// from 1.
    pub async fn start_in(
        folder: &Path,
        servers: Servers,
        options: Options,
        own: impl Fn(&str, usize) -> Vec<(&'static str, String)>,
    ) -> Self {
        let channel_secret = Secret::generate(*b"the channel of all the scenarios");
        let channels =
            format!("[{CHANNEL}]\nkind = \"standard\"\nsecret = \"{}\"\n", &*channel_secret.expose());
        let channels_file = folder.join("channels.toml");
        fs::write(&channels_file, channels).expect("a channels file");
        let mut environment = environment(&servers);
        environment.insert("PAYRELAY_CHANNELS_FILE".to_owned(), channels_file.display().to_string());
        environment.extend(
            options.environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );

        let replicas = |program: &'static str| -> Vec<Service> {
            let start = |replica| {
                let own = own(program, replica).into_iter().map(|(name, value)| (name.to_owned(), value));
                let environment = environment.clone().into_iter().chain(own).collect();
                Service::new(program, &environment, folder.join(format!("{program}-{replica}.log")))
            };
            (1..=options.replicas).map(start).collect()
        };
        let [ingress, order_service, notifier] =
            ["ingress", "order-service", "merchant-notifier"].map(replicas);
        let mut pipeline = Self { ingress, order_service, notifier, channel_secret, servers, _folder: None };
        pipeline.services().for_each(Service::start);
        for service in pipeline.services() {
            service.ready().await;
        }
        pipeline
    }

    /// Every replica of every service.
    pub fn services(&mut self) -> impl Iterator<Item = &mut Service> {
        self.ingress.iter_mut().chain(&mut self.order_service).chain(&mut self.notifier)
    }

    /// Runs `payrelay` as an operator of this pipeline.
    pub async fn payrelay(&self, arguments: &[&str]) -> Answer {
        let (amqp_url, management_url) = (self.servers.amqp_url(), self.servers.management_url());
        let environment = [
            ("PAYRELAY_AMQP_URL", amqp_url.as_str()),
            ("PAYRELAY_MANAGEMENT_URL", &management_url),
            ("PAYRELAY_ADMIN_TOKEN", ADMIN_TOKEN),
            ("PAYRELAY_INGRESS_ADMIN_URL", &self.ingress[0].admin_url),
            ("PAYRELAY_ORDER_SERVICE_ADMIN_URL", &self.order_service[0].admin_url),
            ("PAYRELAY_NOTIFIER_ADMIN_URL", &self.notifier[0].admin_url),
        ];
        run_program("payrelay", arguments, &environment).await
    }

    /// Runs `payrelay … --json`, which must end well, and reads what it prints.
    pub async fn payrelay_json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        self.payrelay(&arguments).await.json()
    }

    /// Adds a merchant whose webhooks go to `webhook_url`.
    pub async fn add_merchant(&self, id: &str, webhook_url: &str) -> Merchant {
        let added = self.payrelay_json(&["merchant", "add", id, "--webhook-url", webhook_url]).await;
        let text = |field: &str| added[field].as_str().unwrap_or_else(|| panic!("{field} in {added}"));
        assert_eq!(text("merchant_id"), id);
        let key = text("webhook_secret").parse().expect("a webhook secret");
        Merchant { id: id.to_owned(), api_key: text("api_key").to_owned(), key }
    }

    /// What calls in for this merchant.
    pub fn shop(&self, merchant: &Merchant) -> Shop {
        let urls = |services: &[Service]| services.iter().map(|service| service.url.clone()).collect();
        Shop::new(
            urls(&self.ingress),
            urls(&self.order_service),
            merchant.clone(),
            self.channel_secret.clone(),
        )
    }
}

fn environment(servers: &Servers) -> BTreeMap<String, String> {
    let variables = [
        ("PAYRELAY_DATABASE_URL", servers.database_url()),
        ("PAYRELAY_AMQP_URL", servers.amqp_url()),
        ("PAYRELAY_ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
        ("PAYRELAY_ORDER_API_TOKEN", ORDER_API_TOKEN.to_owned()),
        ("PAYRELAY_MASTER_KEY", STANDARD.encode([7; 32])),
        ("PAYRELAY_DEFAULT_MERCHANT_ID", DEFAULT_MERCHANT.to_owned()),
        ("PAYRELAY_ALLOWED_WEBHOOK_CIDRS", "127.0.0.0/8".to_owned()),
        ("PAYRELAY_RETRY_DELAYS", RETRY_DELAYS.to_owned()),
        ("PAYRELAY_NOTIFY_LADDER", NOTIFY_LADDER.to_owned()),
        ("PAYRELAY_LOG_FORMAT", "json".to_owned()),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
