//! Starting the service and stopping it.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use events::EventType;
use messaging::{Broker, Consumer, ConsumerQueue, ConsumerStatus, Topology};
use service::admin::{self, AdminOptions, Readiness};
use service::http::{bind, serve};
use service::{Refusal, Shutdown, tls};
use storage::Database;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Config, admin as operators, checkup, consume, gauges, http, maintenance, store};

/// What the service calls itself to the database and the broker.
const NAME: &str = "order-service";
/// The consumer's name in those of its queues.
const CONSUMER: &str = "trade";
/// Four consumers, and requests beside them.
const MAX_CONNECTIONS: usize = 16;

/// A service that has bound its ports and migrated its schema, and takes no work yet.
#[derive(Debug)]
pub struct Service {
    /// Where the public HTTP listens.
    pub http_addr: SocketAddr,
    /// Where the admin HTTP listens.
    pub admin_addr: SocketAddr,
    http: TcpListener,
    admin: TcpListener,
    database: Database,
    broker: Broker,
    config: Config,
}

impl Service {
    /// Binds the ports (port 0: any free one), migrates the schema `orders` and creates its partitions; waits for a database that
    /// is away.
    ///
    /// # Errors
    /// When a port is taken, a URL is wrong or a migration fails. A [`Refusal`] when a queue or exchange is another than it must
    /// be; a broker that is away is waited for.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        tls::install();
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let http = bind(config.common.http_addr.unwrap_or(any)).await?;
        let admin = bind(config.common.admin_addr).await?;
        let broker = Broker::new(config.common.amqp_url.expose(), NAME)?;
        let database = Database::connect(config.common.database_url.expose(), NAME, MAX_CONNECTIONS)?;
        let prepare = || async {
            store::migrate(&database).await?;
            maintenance::prepare(&database, config.retention_days).await
        };
        service::meanwhile(&admin, Some(&http), storage::until_available(prepare)).await??;
        let topology = Topology { queues: queues(), retry: config.retry_delays.clone() };
        if let Some(spoiled) = broker.spoiled(&topology).await.first() {
            return Err(Refusal(format!("{spoiled}; see payrelay topology check")).into());
        }
        Ok(Self {
            http_addr: http.local_addr()?,
            admin_addr: admin.local_addr()?,
            http,
            admin,
            database,
            broker,
            config,
        })
    }

    /// Takes work until `shutdown`: softly it takes nothing new, finishes what it has, and acknowledges it.
    ///
    /// # Errors
    /// When a part panics, or the hard end comes before the soft one is through.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let cancel = &shutdown.soft;
        let consumers = self.consumers();
        let readiness = self.readiness(cancel, consumers.iter().map(Consumer::status).collect());
        let options = AdminOptions {
            readiness,
            token: self.config.common.admin_token.clone(),
            routes: operators::router(self.database.clone())
                .merge(checkup::router(self.database.clone(), &self.config)),
        };
        let mut work = JoinSet::new();
        let router = http::router(self.database.clone(), self.config.order_api_token.clone());
        work.spawn(serve(self.http, router, cancel.clone()));
        for consumer in consumers {
            let handler =
                consume::PayEvents::new(self.database.clone(), self.config.default_merchant_id.clone());
            let cancel = cancel.clone();
            work.spawn(async move { consumer.run(handler, cancel).await });
        }
        work.spawn(gauges::observe(self.database.clone(), cancel.clone()));
        work.spawn(maintenance::run(self.database.clone(), self.config.retention_days, cancel.clone()));
        tracing::info!(http = %self.http_addr, admin = %self.admin_addr, "order service runs");

        // The admin listener goes on to answer while the others drain.
        let drained = CancellationToken::new();
        let admin = serve(self.admin, admin::router(options), drained.clone());
        let worked = async {
            let worked = finish(work).await;
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

/// Starts the service, unless `shutdown` comes first, and runs it.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    match shutdown.soft.run_until_cancelled(Box::pin(Service::start(config))).await {
        Some(started) => started?.run(shutdown).await,
        None => Ok(()),
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
