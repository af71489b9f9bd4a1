//! Starting the service and stopping it.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use events::{EventType, MerchantId};
use messaging::{Broker, Consumer, ConsumerQueue, ConsumerStatus, Topology};
use runtime::{Tasks, refuse_misconfigured};
use service::admin::Readiness;
use service::{Shutdown, http, tls};
use storage::partitions::Maintainer;
use storage::{Database, Writers};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Admin};
use crate::dispatch::{Attempts, Dispatcher, Limits, Sender};
use crate::receive::Receiver;
use crate::secrets::Vault;
use crate::ssrf::TargetPolicy;
use crate::store::{self, endpoints, retention};
use crate::{Config, checkup, maintenance, metric_table};

/// What the service calls itself to the database and the broker.
const NAME: &str = "merchant-notifier";
/// The consumer's name in those of its queues.
const CONSUMER: &str = "merchant";
/// For four consumers, the dispatcher, and the attempts that end at the same time.
const MAX_CONNECTIONS: usize = 24;

/// A notifier that has bound its port and migrated its schema, and takes no work yet.
#[derive(Debug)]
pub struct Service {
    /// Where the admin HTTP listens.
    pub admin_addr: SocketAddr,
    admin: TcpListener,
    database: Database,
    broker: Broker,
    policy: Arc<TargetPolicy>,
    vault: Vault,
    maintainer: Maintainer,
    wake: Arc<Notify>,
    config: Config,
}

/// Starts the notifier, unless `shutdown` comes first, and runs it.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    runtime::start_and_run(shutdown, Box::pin(Service::start(config)), Service::run).await
}

impl Service {
    /// Binds the admin port (port 0: any free one), migrates the schema `notify` and creates its partitions; waits for a database
    /// that is away.
    ///
    /// # Errors
    /// When the port is taken, a URL is wrong, a migration fails, or the secrets are under another master key. A [`service::StartRefusal`]
    /// when a queue or exchange is another than it must be; a broker that is away is waited for.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        tls::install();
        storage::describe_metrics();
        messaging::describe_metrics();
        metric_table::describe_metrics();
        let admin = http::bind(config.common.admin_addr).await?;
        let broker = runtime::connect_broker(&config.common.amqp, NAME)?;
        let database = runtime::connect_database(&config.common.database, NAME, MAX_CONNECTIONS)
            .map_err(refuse_misconfigured)?;
        let maintainer = Maintainer::new(database.clone(), retention::partitioned(config.retention_days));
        let prepare = || async {
            store::migrate(&database).await?;
            maintainer.maintain(OffsetDateTime::now_utc()).await?;
            endpoints::any_keyring(&database.client().await?).await
        };
        let prepared = service::serve_while_starting(&admin, None, storage::until_available(prepare)).await?;
        let keyring = prepared.map_err(refuse_misconfigured)?;
        let vault = Vault::new(&config.master_key);
        check_master_key(&vault, keyring)?;
        let topology = Topology { queues: queues(), retry: config.retry_delays.clone() };
        runtime::refuse_other_topology(&broker, &topology).await?;
        Ok(Self {
            admin_addr: admin.local_addr()?,
            admin,
            broker,
            database,
            policy: Arc::new(TargetPolicy::new(config.allowed_networks.clone())),
            vault,
            maintainer,
            wake: Arc::new(Notify::new()),
            config,
        })
    }

    /// Takes work until `shutdown`: softly it takes nothing new, finishes what it has, and acknowledges it. An attempt that
    /// the hard end cuts off is made again when its lease is over.
    ///
    /// # Errors
    /// When a background task fails, or the hard end comes before the soft one is through.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let shutdown = shutdown.child();
        let cancel = &shutdown.soft;
        let (mut tasks, takers) = (Tasks::new(shutdown.clone()), TaskTracker::new());
        let consumers = self.consumers();
        let readiness = self.readiness(&shutdown.draining, consumers.iter().map(Consumer::status).collect());
        let routes = admin::routes(Admin {
            database: self.database.clone(),
            policy: Arc::clone(&self.policy),
            vault: self.vault.clone(),
            wake: Arc::clone(&self.wake),
        })
        .merge(checkup::router(self.database.clone(), &self.config));
        let (attempts, recorders) = self.attempts()?;
        tasks.spawn("attempt recorder", recorders.run());
        let dispatcher = Dispatcher::new(attempts.clone());

        for consumer in consumers {
            let default_merchant_id = self.config.default_merchant_id.clone();
            let receiver = Receiver::new(self.database.clone(), default_merchant_id, attempts.clone());
            let name = format!("consumer of {}", consumer.queue());
            tasks.spawn(name, takers.track_future(consumer.run(receiver, cancel.clone())));
        }
        let stop = cancel.clone();
        let claims = async move { dispatcher.run(&stop).await };
        tasks.spawn("dispatcher", takers.track_future(claims));
        takers.close();
        tasks.spawn("pool gauges", self.database.clone().observe(NAME, cancel.clone()));
        let (stop, days) = (cancel.clone(), self.config.retention_days);
        tasks.spawn("maintenance", async move {
            let maintenance = maintenance::run(&self.database, days, &self.wake, &stop);
            tokio::join!(self.maintainer.run(&stop), maintenance);
        });
        tracing::info!(admin = %self.admin_addr, "merchant notifier runs");

        let work = async {
            takers.wait().await;
            // What the consumers started while the dispatcher ended.
            attempts.close().await;
        };
        let admin = runtime::Admin { listener: self.admin, readiness, routes };
        Ok(runtime::run(tasks, admin, &self.config.common, work).await?)
    }

    /// One consumer for each queue of the service.
    fn consumers(&self) -> Vec<Consumer> {
        let delays = &self.config.retry_delays;
        queues().into_iter().map(|queue| Consumer::new(self.broker.clone(), queue, delays.clone())).collect()
    }

    fn attempts(&self) -> anyhow::Result<(Attempts, Writers)> {
        let config = &self.config;
        let sender = Sender::new(Arc::clone(&self.policy), self.vault.clone(), config.ladder.clone())?;
        let limits = Limits { workers: config.workers, per_endpoint: config.workers_per_endpoint };
        Ok(Attempts::new(self.database.clone(), sender, limits, Arc::clone(&self.wake)))
    }

    /// Ready while the database answers, once every consumer has been subscribed. Nobody sends requests here, so this only steers
    /// updates: a release that never reaches the broker must stop them, and an outage of the broker must not, for what is stored is
    /// sent meanwhile.
    fn readiness(&self, draining: &CancellationToken, consumers: Vec<ConsumerStatus>) -> Readiness {
        let database = self.database.clone();
        Readiness::new(draining.clone())
            .check("postgres", move || {
                let database = database.clone();
                async move { database.ping().await }
            })
            .check_once("rabbitmq", move || {
                let consuming = messaging::all_subscribed(&consumers);
                async move { consuming }
            })
    }
}

/// The queues of the service.
fn queues() -> Vec<ConsumerQueue> {
    EventType::ALL.map(|event_type| ConsumerQueue::new(CONSUMER, event_type.as_str())).into()
}

/// Under a wrong key every attempt would fail, and climb its ladder in vain.
fn check_master_key(vault: &Vault, keyring: Option<(MerchantId, Vec<u8>)>) -> anyhow::Result<()> {
    if let Some((merchant_id, sealed)) = keyring {
        vault.open(&merchant_id, &sealed).context("PAYRELAY_MASTER_KEY is not the one of this database")?;
    }
    Ok(())
}
