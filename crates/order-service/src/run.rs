//! Starting the service and stopping it.

use std::net::{Ipv4Addr, SocketAddr};

use events::EventType;
use messaging::{Broker, Consumer, ConsumerQueue, ConsumerStatus, Topology};
use runtime::{Admin, Tasks, refuse_misconfigured};
use service::admin::Readiness;
use service::http::{bind, serve};
use service::{Shutdown, tls};
use storage::Database;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Config, admin as operators, checkup, consume, gauges, http, maintenance, metric_table, store};

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
    /// When a port is taken, a URL is wrong or a migration fails. A [`service::StartRefusal`] when a queue or exchange is another than it must
    /// be; a broker that is away is waited for.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        tls::install();
        storage::describe_metrics();
        messaging::describe_metrics();
        metric_table::describe_metrics();
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let http = bind(config.common.http_addr.unwrap_or(any)).await?;
        let admin = bind(config.common.admin_addr).await?;
        let broker = runtime::connect_broker(&config.common.amqp, NAME)?;
        let database = runtime::connect_database(&config.common.database, NAME, MAX_CONNECTIONS)
            .map_err(refuse_misconfigured)?;
        let prepare = || async {
            store::migrate(&database).await?;
            runtime::prepare_partitions(&database, vec![store::handled_table(config.retention_days)]).await
        };
        let prepared =
            service::serve_while_starting(&admin, Some(&http), storage::until_available(prepare)).await?;
        prepared.map_err(refuse_misconfigured)?;
        let topology = Topology { queues: queues(), retry: config.retry_delays.clone() };
        runtime::refuse_other_topology(&broker, &topology).await?;
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

    /// Takes work until `shutdown`: while it drains it works on, and is not ready; softly it takes nothing new, finishes what
    /// it has, and acknowledges it.
    ///
    /// # Errors
    /// When a background task fails, or the hard end comes before the soft one is through.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let shutdown = shutdown.child();
        let cancel = &shutdown.soft;
        let mut tasks = Tasks::new(shutdown.clone());
        let consumers = self.consumers();
        let readiness = self.readiness(&shutdown.draining, consumers.iter().map(Consumer::status).collect());
        let checkups = checkup::router(self.database.clone(), &self.config);
        let routes = operators::router(self.database.clone()).merge(checkups);
        for consumer in consumers {
            let handler =
                consume::PayEvents::new(self.database.clone(), self.config.default_merchant_id.clone());
            let name = format!("consumer of {}", consumer.queue());
            tasks.spawn(name, consumer.run(handler, cancel.clone()));
        }
        tasks.spawn("pool gauges", self.database.clone().observe(NAME, cancel.clone()));
        tasks.spawn("contradiction gauges", gauges::observe(self.database.clone(), cancel.clone()));
        let maintained = maintenance::run(self.database.clone(), self.config.retention_days, cancel.clone());
        tasks.spawn("maintenance", maintained);
        tracing::info!(http = %self.http_addr, admin = %self.admin_addr, "order service runs");

        let orders = http::router(self.database, self.config.order_api_token);
        let public = serve(self.http, orders, self.config.common.patience, shutdown.of_http());
        let admin = Admin { listener: self.admin, readiness, routes };
        Ok(runtime::run(tasks, admin, &self.config.common, public).await?)
    }

    /// One consumer for each queue of the service.
    fn consumers(&self) -> Vec<Consumer> {
        let delays = &self.config.retry_delays;
        queues().into_iter().map(|queue| Consumer::new(self.broker.clone(), queue, delays.clone())).collect()
    }

    /// Ready while the database answers, which is all that requests need. Without the broker events wait in their queues: that is
    /// shown, and keeps nobody away.
    fn readiness(&self, draining: &CancellationToken, consumers: Vec<ConsumerStatus>) -> Readiness {
        let database = self.database.clone();
        Readiness::new(draining.clone())
            .check("postgres", move || {
                let database = database.clone();
                async move { database.ping().await }
            })
            .advise("rabbitmq", move || {
                let consuming = messaging::all_subscribed(&consumers);
                async move { consuming }
            })
    }
}

/// Starts the service, unless `shutdown` comes first, and runs it.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    runtime::start_and_run(shutdown, Box::pin(Service::start(config)), Service::run).await
}

/// The queues of the service.
fn queues() -> Vec<ConsumerQueue> {
    EventType::ALL.map(|event_type| ConsumerQueue::new(CONSUMER, event_type.as_str())).into()
}
