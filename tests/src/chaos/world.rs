//! What is disturbed: the pipeline with a proxy on every link, and the merchants.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use scenarios::{
    ADMIN_TOKEN, Answer, Mode, Options, Pipeline, Proxy, Sandbox, Servers, Service, Shop, run_program,
};
use tokio::sync::Mutex;
use tokio::task::block_in_place;

use crate::plan::{MERCHANTS, SERVICES, Server};

/// How long callers wait for a connection, and for an answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Short, so that pay orders are closed within the run.
const CLOSE_GRACE_SECONDS: &str = "3";
/// Retries of webhooks that come soon, and for longer than any fault lasts.
const NOTIFY_LADDER: &str =
    "300ms,500ms,1s,1s,2s,2s,3s,3s,3s,3s,3s,3s,5s,5s,5s,5s,5s,5s,5s,5s,10s,10s,10s,10s,10s,10s";

/// Everything that runs. Fields are dropped in this order: the services before what they stand on.
pub(crate) struct World {
    /// In the order of [`SERVICES`]. Locked while one is down or frozen on purpose.
    pub(crate) services: Vec<Mutex<Service>>,
    /// To `PostgreSQL` and to `RabbitMQ`, of each replica.
    links: Vec<[Proxy; 2]>,
    /// To the sandbox, of each merchant.
    merchant_links: Vec<Proxy>,
    pub(crate) sandbox: Sandbox,
    /// What calls in, for each merchant.
    pub(crate) shops: Vec<Shop>,
    operator: Vec<(&'static str, String)>,
    pub(crate) servers: Servers,
}

impl World {
    /// Starts everything and waits until it is ready. Logs go to `folder`.
    pub(crate) async fn start(folder: &Path) -> Self {
        let servers = block_in_place(Servers::own);
        let urls = [servers.database_url(), servers.amqp_url()];
        let mut links = Vec::new();
        for _ in SERVICES {
            let [postgres, rabbitmq] = [host_and_port(&urls[0]), host_and_port(&urls[1])];
            links.push([Proxy::start(postgres.to_owned()).await, Proxy::start(rabbitmq.to_owned()).await]);
        }
        let options = Options {
            replicas: 2,
            environment: vec![
                ("PAYRELAY_CLOSE_GRACE_SECONDS", CLOSE_GRACE_SECONDS),
                ("PAYRELAY_NOTIFY_LADDER", NOTIFY_LADDER),
            ],
        };
        let own = |program: &str, replica: usize| {
            let service = SERVICES.iter().position(|service| *service == (program, replica));
            let links = &links[service.unwrap_or_default()];
            vec![
                ("PAYRELAY_DATABASE_URL", through(&urls[0], &links[0])),
                ("PAYRELAY_AMQP_URL", through(&urls[1], &links[1])),
            ]
        };
        let pipeline = Pipeline::start_in(folder, servers, options, own).await;
        let sandbox = Sandbox::start().await;
        let (mut merchant_links, mut shops) = (Vec::new(), Vec::new());
        for id in MERCHANTS {
            let direct = sandbox.url(id);
            let authority = direct.split('/').nth(2).unwrap_or_default();
            let link = Proxy::start(authority.to_owned()).await;
            let merchant =
                pipeline.add_merchant(id, &direct.replace(authority, &link.address().to_string())).await;
            sandbox.register(&merchant);
            let mut shop = pipeline.shop(&merchant);
            let client = transport::http_client().pool_max_idle_per_host(8);
            let client = client.connect_timeout(CONNECT_TIMEOUT).timeout(ANSWER_TIMEOUT);
            shop.http = client.build().expect("an HTTP client");
            merchant_links.push(link);
            shops.push(shop);
        }
        let operator = vec![
            ("PAYRELAY_ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
            ("PAYRELAY_INGRESS_ADMIN_URL", pipeline.ingress[0].admin_url.clone()),
            ("PAYRELAY_ORDER_SERVICE_ADMIN_URL", pipeline.order_service[0].admin_url.clone()),
            ("PAYRELAY_NOTIFIER_ADMIN_URL", pipeline.notifier[0].admin_url.clone()),
            ("PAYRELAY_AMQP_URL", urls[1].clone()),
        ];
        let Pipeline { ingress, order_service, notifier, servers, .. } = pipeline;
        let services = ingress.into_iter().chain(order_service).chain(notifier).map(Mutex::new).collect();
        Self { services, links, merchant_links, sandbox, shops, operator, servers }
    }

    /// From now on a link does this.
    pub(crate) fn link(&self, service: usize, server: Server, mode: Mode) {
        self.links[service][usize::from(server == Server::RabbitMq)].set(mode);
    }

    /// From now on the link to a merchant does this.
    pub(crate) fn merchant_link(&self, merchant: usize, mode: Mode) {
        self.merchant_links[merchant].set(mode);
    }

    /// The shop of a merchant.
    pub(crate) fn shop(&self, merchant_id: &str) -> &Shop {
        self.shops.iter().find(|shop| shop.merchant.id == merchant_id).expect("one of our merchants")
    }

    /// Runs `payrelay` as an operator.
    pub(crate) async fn payrelay(&self, arguments: &[&str]) -> Answer {
        let environment: Vec<_> = self.operator.iter().map(|(name, value)| (*name, value.as_str())).collect();
        run_program("payrelay", arguments, &environment).await
    }

    /// The same, for an answer in JSON.
    pub(crate) async fn payrelay_json(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        let answer = self.payrelay(&[arguments, &["--json"]].concat()).await;
        if answer.code != Some(0) {
            bail!("payrelay {arguments:?}: {answer:?}");
        }
        serde_json::from_str(&answer.stdout).with_context(|| format!("payrelay {arguments:?}"))
    }
}

/// `host:port` of a URL with a user and a path.
fn host_and_port(url: &str) -> &str {
    let after_user = url.rsplit_once('@').map_or(url, |(_, rest)| rest);
    after_user.split('/').next().unwrap_or_default()
}

fn through(url: &str, link: &Proxy) -> String {
    url.replace(host_and_port(url), &link.address().to_string())
}
