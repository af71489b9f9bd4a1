//! payrelay under measurement: the release programs as child processes, with the defaults of production.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use devstack::testing::free_port;
use serde_json::Value;
use webhooks::Secret;

use crate::book::Book;
use crate::machine::{Machine, connect, own_group};
use crate::merchant::Merchants;
use crate::payments::{ACCOUNT, CallbackMaker, MERCHANTS, merchant_name};
use crate::process::{Process, Programs, until};
use crate::procfs::{Group, Measured, reset_peak};
use crate::seed;
use crate::subject::Subject;

const ADMIN_TOKEN: &str = "admin-token-of-the-bench";
/// For what is left in the queues when all webhooks are out.
const EMPTY_LIMIT: Duration = Duration::from_secs(60);
/// Events that the ingress publishes together.
const RELAY_BATCH: u64 = 512;
const PAID_BETWEEN: &str =
    "SELECT count(*) FROM orders.orders WHERE marked_paid_at >= $1 AND marked_paid_at < $2";

/// A program, the name that figures give it, and how many run.
type Replicas = (&'static str, usize);

/// The running pipeline with its merchants and its payments to be made.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// What a load is put on.
    pub(crate) subject: Subject,
    /// The endpoints.
    pub(crate) merchants: Merchants,
    name: String,
    programs: Programs,
    processes: Vec<(&'static str, Process)>,
    admin_urls: BTreeMap<&'static str, String>,
}

impl Pipeline {
    /// Starts `replicas` of `programs` on a database and a vhost called `name`, for `payments` payments. Their pay orders are
    /// there when this returns, and their orders if the order service is.
    pub(crate) async fn start(
        machine: &Machine,
        programs: &Programs,
        name: &str,
        replicas: &[Replicas],
        payments: usize,
    ) -> Result<Self> {
        let database_url = machine.fresh_database(name).await?;
        let amqp_url = machine.fresh_vhost(name).await?;
        let book = Arc::new(Book::open(payments));
        let merchants = Merchants::start(Arc::clone(&book)).await?;
        let secret = Secret::generate(*b"the channel of all of the benchs");
        let channels = machine.directory().join(format!("{name}.toml"));
        fs::write(
            &channels,
            format!("[{ACCOUNT}]\nkind = \"standard\"\nsecret = \"{}\"\n", &*secret.expose()),
        )?;
        let environment: BTreeMap<&str, String> = BTreeMap::from([
            ("PAYRELAY_DATABASE_URL", database_url.clone()),
            ("PAYRELAY_AMQP_URL", amqp_url),
            ("PAYRELAY_ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
            ("PAYRELAY_ORDER_API_TOKEN", "order-token-of-the-bench".to_owned()),
            ("PAYRELAY_MASTER_KEY", STANDARD.encode([7; 32])),
            ("PAYRELAY_ALLOWED_WEBHOOK_CIDRS", "127.0.0.0/8".to_owned()),
            ("PAYRELAY_CHANNELS_FILE", channels.display().to_string()),
            // No balancer stands before them.
            ("PAYRELAY_DRAIN_DELAY_SECONDS", "0".to_owned()),
        ]);
        let mut starting =
            Starting { machine, programs, name, environment, processes: Vec::new(), urls: Vec::new() };
        for (service, count) in replicas {
            for replica in 0..*count {
                starting.start(service, replica)?;
            }
        }
        let (address, admin_urls) = starting.ready().await?;
        let groups = starting.groups()?;
        let maker = CallbackMaker { host: address.to_string(), secret };
        let subject = Subject { address, maker, book, database_url, groups, paid_between: PAID_BETWEEN };
        let processes = starting.processes;
        let (name, programs) = (name.to_owned(), programs.clone());
        let pipeline = Self { subject, merchants, name, programs, processes, admin_urls };
        pipeline.seed(replicas.iter().any(|(service, _)| *service == "order-service")).await?;
        reset_peak(std::process::id());
        Ok(pipeline)
    }

    async fn seed(&self, whole: bool) -> Result<()> {
        let client = connect(&self.subject.database_url).await?;
        let payments = 0..self.subject.book.len();
        seed::pay_orders(&client, &payments).await?;
        let mut tables = vec!["pay.pay_orders"];
        if whole {
            tables.push("orders.orders");
            seed::orders(&client, &payments).await?;
            for merchant in 0..MERCHANTS {
                let url = self.merchants.url(merchant);
                let secret = self.add_merchant(&merchant_name(merchant), &url).await?;
                self.merchants.register(merchant, secret.parse().context("a webhook secret")?);
            }
        }
        seed::settle(&client, &tables).await
    }

    /// Adds a merchant as an operator does; its webhook secret.
    pub(crate) async fn add_merchant(&self, id: &str, url: &str) -> Result<String> {
        let mut command = tokio::process::Command::new(self.programs.path("payrelay")?);
        command.args(["merchant", "add", id, "--webhook-url", url, "--json"]);
        command.env("PAYRELAY_ADMIN_TOKEN", ADMIN_TOKEN);
        for (service, variable) in [
            ("ingress", "PAYRELAY_INGRESS_ADMIN_URL"),
            ("order-service", "PAYRELAY_ORDER_SERVICE_ADMIN_URL"),
            ("merchant-notifier", "PAYRELAY_NOTIFIER_ADMIN_URL"),
        ] {
            command.env(variable, self.admin_urls.get(service).map_or("http://127.0.0.1:9", String::as_str));
        }
        let output = command.output().await.context("payrelay cannot be run")?;
        ensure!(output.status.success(), "merchant add: {}", String::from_utf8_lossy(&output.stderr));
        let added: Value = serde_json::from_slice(&output.stdout)?;
        Ok(added["webhook_secret"].as_str().context("a new merchant without a secret")?.to_owned())
    }

    /// All that was accepted has had its effect exactly once, everywhere, and nothing is left over.
    pub(crate) async fn verify(&self, machine: &Machine) -> Result<()> {
        self.subject.book.check()?;
        let accepted = self.subject.book.accepted();
        let client = connect(&self.subject.database_url).await?;
        for (what, count) in [
            (
                "pay orders paid",
                "SELECT count(*) FROM pay.pay_orders WHERE status = 'TRADE_SUCCESS' AND order_no LIKE 'B%'",
            ),
            (
                "orders paid",
                "SELECT count(*) FROM orders.orders WHERE status = 'PAID' AND order_no LIKE 'B%'",
            ),
            ("sub-orders, two each,", "SELECT count(*) / 2 FROM orders.sub_orders WHERE order_no LIKE 'B%'"),
            (
                "notifications delivered",
                "SELECT count(*) FROM notify.notifications WHERE status = 'DELIVERED' AND order_no LIKE 'B%'",
            ),
            ("notifications made", "SELECT count(*) FROM notify.notifications WHERE order_no LIKE 'B%'"),
        ] {
            let found: i64 = client.query_one(count, &[]).await?.try_get(0)?;
            ensure!(u64::try_from(found) == Ok(accepted), "{accepted} payments accepted, {what}: {found}");
        }
        self.emptied(machine, 0..=0).await
    }

    /// Accepted alone: every pay order is paid, and every event is published to both queues.
    pub(crate) async fn verify_accepted(&self, machine: &Machine) -> Result<()> {
        let accepted = self.subject.book.accepted();
        let client = connect(&self.subject.database_url).await?;
        for count in [
            "SELECT count(*) FROM pay.pay_orders WHERE status = 'TRADE_SUCCESS'",
            "SELECT count(*) FROM pay.events",
            "SELECT count(*) FROM pay.callbacks",
        ] {
            let found: i64 = client.query_one(count, &[]).await?.try_get(0)?;
            ensure!(u64::try_from(found) == Ok(accepted), "{accepted} payments accepted, {count}: {found}");
        }
        // What was under way when the broker froze is published again; consumers would absorb it.
        self.emptied(machine, accepted..=accepted + 2 * RELAY_BATCH).await
    }

    /// Waits until the outbox is empty and the two queues of successes hold so many each, all others nothing.
    async fn emptied(&self, machine: &Machine, waiting: RangeInclusive<u64>) -> Result<()> {
        let client = connect(&self.subject.database_url).await?;
        until("empty outbox", EMPTY_LIMIT, async || {
            let pending: i64 =
                client.query_one("SELECT count(*) FROM pay.outbox_pending", &[]).await?.try_get(0)?;
            Ok(if pending == 0 { Ok(()) } else { Err(format!("{pending} events pending")) })
        })
        .await?;
        until("settled queues", EMPTY_LIMIT, async || {
            let depths = machine.queue_depths(&self.name).await?;
            let right = |queue: &str, depth: u64| {
                if queue.ends_with(".pay.success.queue") { waiting.contains(&depth) } else { depth == 0 }
            };
            let wrong: Vec<_> = depths.iter().filter(|(queue, depth)| !right(queue, **depth)).collect();
            Ok(if wrong.is_empty() { Ok(()) } else { Err(format!("{wrong:?} instead of {waiting:?}")) })
        })
        .await
    }

    /// Stops the services in good order and removes what they stood on.
    pub(crate) async fn stop(mut self, machine: &Machine) -> Result<()> {
        for (_, process) in self.processes.drain(..) {
            process.stop().await?;
        }
        machine.drop_vhost(&self.name).await?;
        machine.drop_database(&self.name).await
    }
}

/// Services on their way up.
struct Starting<'a> {
    machine: &'a Machine,
    programs: &'a Programs,
    name: &'a str,
    environment: BTreeMap<&'a str, String>,
    processes: Vec<(&'static str, Process)>,
    /// Public address and admin URL of each.
    urls: Vec<(SocketAddr, String)>,
}

impl Starting<'_> {
    fn start(&mut self, service: &'static str, replica: usize) -> Result<()> {
        let [http, admin] = [(), ()].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        let mut command = Command::new(self.programs.path(service)?);
        command.env_clear().envs(&self.environment);
        command.envs(self.machine.settings.iter().map(|(name, value)| (name, value)));
        command.env("PAYRELAY_HTTP_ADDR", http.to_string()).env("PAYRELAY_ADMIN_ADDR", admin.to_string());
        let log = self.machine.directory().join(format!("{}-{service}-{replica}.log", self.name));
        self.processes.push((service, Process::start(service, &mut command, &log)?));
        self.urls.push((http, format!("http://{admin}")));
        Ok(())
    }

    /// Waits for all; the address of the ingress, and the admin URL of one of each.
    async fn ready(&mut self) -> Result<(SocketAddr, BTreeMap<&'static str, String>)> {
        let (mut ingress, mut admin_urls) = (None, BTreeMap::new());
        for ((service, process), (http, admin_url)) in self.processes.iter_mut().zip(&self.urls) {
            process.ready(&self.machine.http, admin_url).await?;
            admin_urls.insert(*service, admin_url.clone());
            if *service == "ingress" {
                ingress = Some(*http);
            }
        }
        Ok((ingress.context("a pipeline without an ingress")?, admin_urls))
    }

    fn groups(&self) -> Result<Vec<Group>> {
        let mut groups = self.machine.groups()?;
        groups.push(own_group());
        for (service, process) in &self.processes {
            let measured = Measured::Process(process.pid());
            match groups.iter_mut().find(|group| group.name == *service) {
                Some(group) => group.members.push(measured),
                None => groups.push(Group { name: service, members: vec![measured] }),
            }
        }
        Ok(groups)
    }
}
