//! Starting the service and stopping it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use messaging::management::Management;
use messaging::{Broker, Publisher, Topology};
use runtime::{Admin, Tasks, refuse_misconfigured};
use service::admin::Readiness;
use service::http::{bind, serve};
use service::{Shutdown, StartRefusal, tls};
use storage::Database;
use storage::leadership::Standing;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use webhooks::target::TargetPolicy;

use crate::accounts::Passwords;
use crate::api_keys::KeyCache;
use crate::callbacks::LargeBodies;
use crate::expiry::Sweeper;
use crate::facts::FactWriter;
use crate::pay_orders::PayOrderWriter;
use crate::relay::{self, Gate, Relay, Relaying};
use crate::router::router;
use crate::signals::Signals;
use crate::state::App;
use crate::store::outbox::Shard;
use crate::{Config, admin, channels_file, checkup, maintenance, metric_table, store};

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
        describe_metrics(&config);
        // From here on SIGHUP does not end the process.
        let hangup = signal(SignalKind::hangup()).context("cannot watch for SIGHUP")?;
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let http = bind(config.common.http_addr.unwrap_or(any)).await?;
        let admin = bind(config.common.admin_addr).await?;
        let broker = runtime::connect_broker(&config.common.amqp, NAME)?;
        let management = config.management_url.as_ref().map(|url| Management::new(url.expose(), &broker));
        let management = management
            .transpose()
            .map_err(|error| StartRefusal(format!("PAYRELAY_MANAGEMENT_URL: {error}")))?;
        let database = runtime::connect_database(&config.common.database, NAME, config.database_connections)
            .map_err(refuse_misconfigured)?;
        let prepare = || async {
            store::migrate(&database).await?;
            runtime::prepare_partitions(&database, store::partitioned(config.retention_days)).await
        };
        let prepared =
            service::serve_while_starting(&admin, Some(&http), storage::until_available(prepare)).await?;
        prepared.map_err(refuse_misconfigured)?;
        let (http_addr, admin_addr) = (http.local_addr()?, admin.local_addr()?);
        Ok(Self { http_addr, admin_addr, http, admin, database, broker, management, hangup, config })
    }

    /// Works until `shutdown`. While it drains: works on, and is not ready. Softly: takes no more connections, answers the
    /// requests under way, publishes what is committed while the writers end, then stops. Hard: drops what is left; nothing
    /// that was answered is lost.
    ///
    /// # Errors
    /// When a background task fails, or the hard end comes before the soft one is through.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let shutdown = shutdown.child();
        let mut tasks = Tasks::new(shutdown.clone());
        let Self { database, broker, management, hangup, config, .. } = self;
        let signals = Arc::new(Signals::new());
        let background = CancellationToken::new();

        let management_url = management.as_ref().map(|management| management.url().to_owned());
        let topology = Topology::payrelay(&config.retry_delays);
        let gate = Gate::new(management, topology.clone());
        let parts = Parts { database: database.clone(), broker, topology, signals: Arc::clone(&signals) };
        let stages = Stages {
            opened: CancellationToken::new(),
            soft: shutdown.soft.clone(),
            background: background.clone(),
        };
        let (publishers, standings) = start_relays(&mut tasks, &parts, &config, &stages);
        tasks.spawn_finite("relay gate", open(gate.clone(), publishers.clone(), stages));
        let (measured, backlog) = watch::channel(None);
        tasks.spawn("outbox gauges", relay::observe(database.clone(), measured, background.clone()));
        let relaying = Relaying { standings, backlog, publishers, gate };
        let checkups = checkup::router(database.clone(), &config, management_url, relaying.clone());
        let maintained = maintenance::run(database.clone(), config.retention_days, background.clone());
        tasks.spawn("maintenance", maintained);
        tasks.spawn("pool gauges", database.clone().observe(NAME, background.clone()));
        let reloaded = channels_file::reload_on(hangup, config.channels.clone(), background.clone());
        tasks.spawn("channels file", reloaded);

        let (facts, fact_writers) = FactWriter::new(database.clone(), Arc::clone(&signals));
        tasks.spawn("fact writers", fact_writers.run());
        let (pay_orders, pay_order_writers) = PayOrderWriter::new(database.clone());
        tasks.spawn("pay order writers", pay_order_writers.run());
        let sweeper = Sweeper::new(database.clone(), facts.clone(), config.close_grace);
        tasks.spawn("sweeper", sweeper.run(shutdown.soft.clone()));
        let app = Arc::new(App {
            facts,
            pay_orders,
            database,
            channels: config.channels,
            signals,
            keys: KeyCache::default(),
            passwords: Passwords::default(),
            targets: TargetPolicy::new(config.allowed_networks),
            large_bodies: LargeBodies::default(),
            trial_balance_lock: Arc::default(),
            close_grace: config.close_grace,
            draining: shutdown.soft.clone(),
        });
        let routes = admin::routes(Arc::clone(&app)).merge(checkups);
        let readiness = readiness(&app, shutdown.draining.clone(), relaying);
        tracing::info!(http = %self.http_addr, admin = %self.admin_addr, "the ingress takes requests");

        let public = serve(self.http, router(Arc::clone(&app)), config.common.patience, shutdown.of_http());
        let work = async {
            public.await;
            fail::fail_point!("ingress::draining", |_| std::process::abort());
            app.pay_orders.shutdown().await;
            app.facts.shutdown().await;
            background.cancel();
        };
        let admin = Admin { listener: self.admin, readiness, routes };
        Ok(Box::pin(runtime::run(tasks, admin, &config.common, work)).await?)
    }
}

/// Starts the service, unless `shutdown` comes first, and runs it.
///
/// # Errors
/// As [`Service::start`] and [`Service::run`].
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    runtime::start_and_run(shutdown, Box::pin(Service::start(config)), Service::run).await
}

fn describe_metrics(config: &Config) {
    storage::describe_metrics();
    messaging::describe_metrics();
    metric_table::describe_metrics();
    metric_table::start_accounts(&config.channels.current());
}

/// What all relays share.
struct Parts {
    database: Database,
    broker: Broker,
    topology: Topology,
    signals: Arc<Signals>,
}

/// When relays and publishers begin and end.
#[derive(Clone)]
struct Stages {
    /// Cancelled once the relays may publish.
    opened: CancellationToken,
    /// The soft end of the service.
    soft: CancellationToken,
    /// Cancelled when the writers have ended: the relays publish what they have committed, then end.
    background: CancellationToken,
}

/// Starts a relay with a publisher of its own for each shard of the outbox.
fn start_relays(
    tasks: &mut Tasks,
    parts: &Parts,
    config: &Config,
    stages: &Stages,
) -> (Vec<Publisher>, Vec<watch::Receiver<Standing>>) {
    let (mut publishers, mut standings) = (Vec::new(), Vec::new());
    for shard in 0..config.outbox_shards {
        let (publishing, relayed) = (CancellationToken::new(), CancellationToken::new());
        let broker = parts.broker.named(&format!("relay {shard}"));
        let (publisher, task) = Publisher::new(broker, Some(parts.topology.clone()), publishing.clone());
        let (standing, told) = watch::channel(Standing::Waiting);
        let relay = Relay {
            database: parts.database.clone(),
            publisher: publisher.clone(),
            signals: Arc::clone(&parts.signals),
            shard: Shard { shard, shards: config.outbox_shards },
            standing,
            format: config.event_format,
        };
        let (has_ended, stages) = (relayed.clone().drop_guard(), stages.clone());
        let soft = stages.soft.clone();
        tasks.spawn(format!("relay {shard}"), async move {
            let _has_ended = has_ended;
            stages.background.run_until_cancelled(stages.opened.cancelled()).await;
            relay.run(stages.background).await;
        });
        tasks.spawn(format!("publisher {shard}"), async move {
            // Not before its relay has published the last batch.
            let stop = async {
                relayed.cancelled().await;
                soft.cancelled().await;
                publishing.cancel();
            };
            tokio::join!(task.run(), stop);
        });
        publishers.push(publisher);
        standings.push(told);
    }
    (publishers, standings)
}

/// Lets the relays begin once nothing is known that would lose what they publish.
async fn open(gate: Gate, publishers: Vec<Publisher>, stages: Stages) {
    gate.pass(publishers, stages.background).await;
    stages.opened.cancel();
}

/// Ready while the database answers and takes writes. Without the broker, or a relay, events wait in the outbox: that is shown,
/// and keeps nobody away.
fn readiness(app: &Arc<App>, draining: CancellationToken, relaying: Relaying) -> Readiness {
    let database = app.database.clone();
    let broker = relaying.clone();
    Readiness::new(draining)
        .check("postgres", move || {
            let database = database.clone();
            async move { database.ping().await }
        })
        .advise("rabbitmq", move || {
            let connected = broker.is_connected();
            let problem =
                broker.gate.shut().or_else(|| broker.publishers.iter().find_map(Publisher::problem));
            async move {
                match problem {
                    None if connected => Ok(()),
                    None => {
                        Err("not connected, or the topology is spoiled; events wait in the outbox".to_owned())
                    }
                    Some(why) => Err(format!("events wait in the outbox: {why}")),
                }
            }
        })
        .advise("relay", move || {
            let problem = relaying.problem(OffsetDateTime::now_utc());
            async move { problem.map_or(Ok(()), Err) }
        })
}
