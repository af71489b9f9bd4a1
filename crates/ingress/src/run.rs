//! Starting the service and stopping it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use messaging::management::Management;
use messaging::{Broker, Publisher, Topology};
use service::admin::{AdminOptions, Readiness};
use service::http::{bind, serve};
use service::{Refusal, Shutdown, tls};
use storage::Database;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::Passwords;
use crate::api_keys::KeyCache;
use crate::app::{self, App};
use crate::expiry::Sweeper;
use crate::facts::FactWriter;
use crate::pay_orders::PayOrderWriter;
use crate::relay::{self, Gate, Relay};
use crate::signals::Signals;
use crate::store::outbox::Shard;
use crate::{Config, admin, channels_file, checkup, maintenance, store};

/// What the service calls itself to the database and the broker.
const NAME: &str = "ingress";

/// An ingress that has bound its ports and migrated its schema, and takes no work yet.
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
    management: Option<Management>,
    hangup: Signal,
    config: Config,
}

impl Service {
    /// Binds the ports (port 0: any free one), migrates the schema `pay` and creates its partitions; waits for a database that is
    /// away. RabbitMQ may be away.
    ///
    /// # Errors
    /// When a port is taken, a URL is wrong or a migration fails.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        tls::install();
        // From here on SIGHUP does not end the process.
        let hangup = signal(SignalKind::hangup()).context("cannot watch for SIGHUP")?;
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let http = bind(config.common.http_addr.unwrap_or(any)).await?;
        let admin = bind(config.common.admin_addr).await?;
        let broker = Broker::new(config.common.amqp_url.expose(), NAME).context("PAYRELAY_AMQP_URL")?;
        let management = config.management_url.as_ref().map(|url| Management::new(url.expose(), &broker));
        let management =
            management.transpose().map_err(|error| Refusal(format!("PAYRELAY_MANAGEMENT_URL: {error}")))?;
        let url = config.common.database_url.expose();
        let database = Database::connect(url, NAME, config.database_connections)?;
        let prepare = || async {
            store::migrate(&database).await?;
            maintenance::prepare(&database, config.retention_days).await
        };
        service::meanwhile(&admin, Some(&http), storage::until_available(prepare)).await??;
        let (http_addr, admin_addr) = (http.local_addr()?, admin.local_addr()?);
        Ok(Self { http_addr, admin_addr, http, admin, database, broker, management, hangup, config })
    }

    /// Works until `shutdown`. Softly: takes no more connections, answers the requests under way, publishes what is
    /// committed while the writers end, then stops. Hard: drops what is left; nothing that was answered is lost.
    ///
    /// # Errors
    /// When the hard end comes before the soft one is through.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let Self { database, broker, management, hangup, config, .. } = self;
        let signals = Arc::new(Signals::new());
        let background = CancellationToken::new();
        let tasks = TaskTracker::new();

        let mut publishers = Vec::new();
        let topology = Topology::payrelay(&config.retry_delays);
        let management_url = management.as_ref().map(|management| management.url().to_owned());
        let checkups = checkup::router(database.clone(), &config, management_url);
        let gate = Gate::new(management, topology.clone());
        // Cancelled once the relays may publish.
        let opened = CancellationToken::new();
        for shard in 0..config.outbox_shards {
            let broker = broker.named(&format!("relay {shard}"));
            let publisher = Publisher::spawn_declaring(broker, topology.clone(), background.clone());
            publishers.push(publisher.clone());
            let relay = Relay {
                database: database.clone(),
                publisher,
                signals: Arc::clone(&signals),
                shard: Shard { shard, shards: config.outbox_shards },
            };
            let (until, opened) = (background.clone(), opened.clone());
            tasks.spawn(async move {
                until.run_until_cancelled(opened.cancelled()).await;
                relay.run(until).await;
            });
        }
        tasks.spawn(open(gate.clone(), publishers.clone(), (opened, background.clone())));
        tasks.spawn(relay::observe(database.clone(), background.clone()));
        tasks.spawn(maintenance::run(database.clone(), config.retention_days, background.clone()));

        let reloading = channels_file::reload_on(hangup, config.channels.clone(), background.clone());
        tasks.spawn(reloading);

        let app = Arc::new(App {
            facts: FactWriter::spawn(database.clone(), Arc::clone(&signals)),
            pay_orders: PayOrderWriter::spawn(database.clone()),
            database,
            channels: config.channels,
            signals,
            keys: KeyCache::default(),
            passwords: Passwords::default(),
            balancing: Arc::default(),
            close_grace: config.close_grace,
            draining: shutdown.soft.clone(),
        });
        tasks.spawn(Sweeper::new(Arc::clone(&app)).run(shutdown.soft.clone()));
        let routes = admin::routes(Arc::clone(&app)).merge(checkups);
        let readiness = readiness(&app, publishers, gate);
        let token = config.common.admin_token;
        let routes = service::admin::router(AdminOptions { readiness, token, routes });
        tracing::info!(http = %self.http_addr, admin = %self.admin_addr, "the ingress takes requests");

        // The admin listener goes on to answer while the others drain.
        let admin = serve(self.admin, routes, background.clone());
        let worked = async {
            serve(self.http, app::router(Arc::clone(&app)), shutdown.soft.clone()).await;
            fail::fail_point!("ingress::draining", |_| std::process::abort());
            app.pay_orders.shutdown().await;
            app.facts.shutdown().await;
            background.cancel();
            tasks.close();
            tasks.wait().await;
        };
        let ended = shutdown.until_hard(async { tokio::join!(worked, admin) }).await;
        background.cancel();
        ended.map(drop).context("the grace was over before the work was")
    }
}

/// Starts the service, unless `shutdown` comes first, and runs it.
///
/// # Errors
/// As [`Service::start`] and [`Service::run`].
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    match shutdown.soft.run_until_cancelled(Box::pin(Service::start(config))).await {
        Some(started) => started?.run(shutdown).await,
        None => Ok(()),
    }
}

/// Lets the relays begin once nothing is known that would lose what they publish.
async fn open(
    gate: Gate,
    publishers: Vec<Publisher>,
    (opened, cancel): (CancellationToken, CancellationToken),
) {
    gate.pass(publishers, cancel).await;
    opened.cancel();
}

/// Ready while the database answers. Without the broker events wait in the outbox: that is shown, and keeps nobody away.
fn readiness(app: &Arc<App>, publishers: Vec<Publisher>, gate: Gate) -> Readiness {
    let database = app.database.clone();
    Readiness::new(app.draining.clone())
        .check("postgres", move || {
            let database = database.clone();
            async move { database.ping().await }
        })
        .advise("rabbitmq", move || {
            let connected = publishers.iter().all(Publisher::is_ready);
            let shut = gate.shut().map(|why| format!("events wait in the outbox: {why}"));
            async move {
                match shut {
                    None if connected => Ok(()),
                    None => {
                        Err("not connected, or the topology is spoiled; events wait in the outbox".to_owned())
                    }
                    Some(why) => Err(why),
                }
            }
        })
}
