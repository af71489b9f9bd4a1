//! Starting the service and stopping it.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use events::{EventType, MerchantId};
use messaging::{Broker, Consumer, ConsumerQueue, ConsumerStatus, Topology};
use service::admin::{AdminOptions, Readiness};
use service::{Refusal, Shutdown, http, tls};
use storage::Database;
use storage::partitions::Maintainer;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin};
use crate::dispatch::{Deliveries, Dispatcher, Limits, Sender};
use crate::receive::Receiver;
use crate::secrets::Vault;
use crate::ssrf::TargetPolicy;
use crate::store::{self, endpoints, retention};
use crate::{Config, checkup, maintenance};

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
    match shutdown.soft.run_until_cancelled(Box::pin(Service::start(config))).await {
        Some(started) => started?.run(shutdown).await,
        None => Ok(()),
    }
}

impl Service {
    /// Binds the admin port (port 0: any free one), migrates the schema `notify` and creates its partitions; waits for a database
    /// that is away.
    ///
    /// # Errors
    /// When the port is taken, a URL is wrong, a migration fails, or the secrets are under another master key. A [`Refusal`]
    /// when a queue or exchange is another than it must be; a broker that is away is waited for.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        tls::install();
        let admin = http::bind(config.common.admin_addr).await?;
        let broker = Broker::new(config.common.amqp_url.expose(), NAME)?;
        let database = Database::connect(config.common.database_url.expose(), NAME, MAX_CONNECTIONS)?;
        let maintainer = Maintainer::new(database.clone(), retention::partitioned(config.retention_days));
        let prepare = || async {
            store::migrate(&database).await?;
            maintainer.maintain(OffsetDateTime::now_utc()).await?;
            endpoints::any_keyring(&database.client().await?).await
        };
        let keyring = service::meanwhile(&admin, None, storage::until_available(prepare)).await??;
        let vault = Vault::new(&config.master_key);
        check_master_key(&vault, keyring)?;
        let topology = Topology { queues: queues(), retry: config.retry_delays.clone() };
        if let Some(spoiled) = broker.spoiled(&topology).await.first() {
            return Err(Refusal(format!("{spoiled}; see payrelay topology check")).into());
        }
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
    /// When a part panics, or the hard end comes before the soft one is through.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let cancel = &shutdown.soft;
        let consumers = self.consumers();
        let options = AdminOptions {
            readiness: self.readiness(cancel, consumers.iter().map(Consumer::status).collect()),
            token: self.config.common.admin_token.clone(),
            routes: admin::routes(Admin {
                database: self.database.clone(),
                policy: Arc::clone(&self.policy),
                vault: self.vault.clone(),
                wake: Arc::clone(&self.wake),
            })
            .merge(checkup::router(self.database.clone(), &self.config)),
        };
        let deliveries = self.deliveries()?;
        let dispatcher = Dispatcher::new(deliveries.clone());
        // The admin listener goes on to answer while the others drain.
        let drained = CancellationToken::new();
        let admin = http::serve(self.admin, service::admin::router(options), drained.clone());

        let mut work = JoinSet::new();
        for consumer in consumers {
            let default_merchant = self.config.default_merchant.clone();
            let receiver = Receiver::new(self.database.clone(), default_merchant, deliveries.clone());
            let cancel = cancel.clone();
            work.spawn(async move { consumer.run(receiver, cancel).await });
        }
        let stop = cancel.clone();
        work.spawn(async move { dispatcher.run(&stop).await });
        let (stop, days) = (cancel.clone(), self.config.retention_days);
        work.spawn(async move {
            let maintenance = maintenance::run(&self.database, days, &self.wake, &stop);
            tokio::join!(self.maintainer.run(&stop), maintenance);
        });
        tracing::info!(admin = %self.admin_addr, "merchant notifier runs");

        let worked = async {
            let worked = finish(work).await;
            // What the consumers started while the dispatcher ended.
            deliveries.finish().await;
            drained.cancel();
            worked
        };
        let ended = shutdown.until_hard(async { tokio::join!(worked, admin).0 }).await;
        ended.context("the grace was over before the work was")?
    }

    /// One consumer for each queue of the service.
    fn consumers(&self) -> Vec<Consumer> {
        let delays = &self.config.retry_delays;
        queues().into_iter().map(|queue| Consumer::new(self.broker.clone(), queue, delays.clone())).collect()
    }

    fn deliveries(&self) -> anyhow::Result<Deliveries> {
        let config = &self.config;
        let sender = Sender::new(Arc::clone(&self.policy), self.vault.clone(), config.ladder.clone())?;
        let limits = Limits { workers: config.workers, per_endpoint: config.workers_per_endpoint };
        Ok(Deliveries::new(self.database.clone(), sender, limits, Arc::clone(&self.wake)))
    }

    /// Ready when the database answers and every consumer is subscribed.
    fn readiness(&self, draining: &CancellationToken, consumers: Vec<ConsumerStatus>) -> Readiness {
        let database = self.database.clone();
        Readiness::new(draining.clone())
            .check("postgres", move || {
                let database = database.clone();
                async move { database.ping().await }
            })
            .check("rabbitmq", move || {
                let consuming = consumers.iter().all(ConsumerStatus::is_subscribed);
                async move { if consuming { Ok(()) } else { Err("not every queue is consumed") } }
            })
    }
}

/// The queues of the service.
fn queues() -> Vec<ConsumerQueue> {
    EventType::ALL.map(|event_type| ConsumerQueue::new(CONSUMER, event_type.as_str())).into()
}

async fn finish(mut work: JoinSet<()>) -> anyhow::Result<()> {
    while let Some(ended) = work.join_next().await {
        ended.context("a part of the service panicked")?;
    }
    Ok(())
}

/// Under a wrong key every attempt would fail, and climb its ladder in vain.
fn check_master_key(vault: &Vault, keyring: Option<(MerchantId, Vec<u8>)>) -> anyhow::Result<()> {
    if let Some((merchant_id, sealed)) = keyring {
        vault.open(&merchant_id, &sealed).context("PAYRELAY_MASTER_KEY is not the one of this database")?;
    }
    Ok(())
}
