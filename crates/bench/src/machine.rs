//! The servers that everything is measured on: one PostgreSQL and one RabbitMQ, durable, private.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devstack::{Stack, StackOptions};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio_postgres::NoTls;

use crate::process::signal;
use crate::procfs::{Group, Measured};
use crate::profile;

const HTTP_TIMEOUT: Duration = Duration::from_secs(30);
/// The user of the private broker, and its password.
const GUEST: &str = "guest";

/// Segments of the log, 16 MB each, as a server has them that has been running for a while, to be written over. One that is not
/// there must be made, zeroed and flushed while commits wait for it, 50 ms and more.
const WAL_SEGMENTS: usize = 128;

/// The running servers.
#[derive(Debug)]
pub(crate) struct Machine {
    stack: Stack,
    /// For everything that is not load.
    pub(crate) http: Client,
    /// Whether PostgreSQL counts what each statement costs.
    pub(crate) profiled: bool,
    /// What the services are set to beside what they need.
    pub(crate) settings: Vec<(String, String)>,
}

impl Machine {
    /// Starts both, flushing to the disk. Where it is `profiled`, PostgreSQL counts what each statement costs.
    pub(crate) async fn start(profiled: bool, settings: Vec<(String, String)>) -> Result<Self> {
        let stack = spawn_blocking(|| Stack::start(&StackOptions::default())).await??;
        if profiled {
            profile::enable(&connect(&stack.postgres().database_url()).await?).await?;
            stack.postgres().stop()?;
            stack.postgres().start()?;
        }
        fill_wal(&connect(&stack.postgres().database_url()).await?).await?;
        let http = transport::http_client().timeout(HTTP_TIMEOUT).build()?;
        Ok(Self { stack, http, profiled, settings })
    }

    /// Where logs may be written; gone with the servers.
    pub(crate) fn directory(&self) -> &Path {
        self.stack.directory()
    }

    /// Makes an empty database, in place of any of this name; its URL.
    pub(crate) async fn fresh_database(&self, name: &str) -> Result<String> {
        let base = self.stack.postgres().database_url();
        let client = connect(&base).await?;
        client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        client.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        let (server, _) = base.rsplit_once('/').context("a database URL without a database")?;
        Ok(format!("{server}/{name}"))
    }

    /// Drops a database with whoever is still connected, so that no vacuum of it disturbs what comes next.
    pub(crate) async fn drop_database(&self, name: &str) -> Result<()> {
        let client = connect(&self.stack.postgres().database_url()).await?;
        client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        client.batch_execute("CHECKPOINT").await?;
        Ok(())
    }

    /// Makes an empty vhost, in place of any of this name; its URL.
    pub(crate) async fn fresh_vhost(&self, name: &str) -> Result<String> {
        self.drop_vhost(name).await?;
        self.management(Method::PUT, &format!("/api/vhosts/{name}"), Some(json!({}))).await?;
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        self.management(Method::PUT, &format!("/api/permissions/{name}/{GUEST}"), Some(all)).await?;
        let base = self.stack.rabbitmq().amqp_url();
        let (server, _) = base.rsplit_once('/').context("an AMQP URL without a vhost")?;
        Ok(format!("{server}/{name}"))
    }

    /// Drops a vhost with its queues, if it is there.
    pub(crate) async fn drop_vhost(&self, name: &str) -> Result<()> {
        self.management(Method::DELETE, &format!("/api/vhosts/{name}"), None).await?;
        Ok(())
    }

    /// How many messages each queue of a vhost holds, delivered ones that are not acknowledged included.
    pub(crate) async fn queue_depths(&self, vhost: &str) -> Result<BTreeMap<String, u64>> {
        let path = format!("/api/queues/{vhost}?columns=name,messages");
        let queues = self.management(Method::GET, &path, None).await?;
        let queues = queues.as_array().context("the broker lists no queues")?;
        let depth = |queue: &Value| {
            // A queue of which there are no figures yet is not known to be empty.
            let messages = queue["messages"].as_u64().unwrap_or(u64::MAX);
            Some((queue["name"].as_str()?.to_owned(), messages))
        };
        Ok(queues.iter().filter_map(depth).collect())
    }

    async fn management(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let url = format!("{}{path}", self.stack.rabbitmq().management_url());
        let mut request = self.http.request(method.clone(), url).basic_auth(GUEST, Some(GUEST));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.with_context(|| format!("{method} {path}"))?;
        let (status, body) = (answer.status(), answer.bytes().await?);
        let gone = method == Method::DELETE && status.as_u16() == 404;
        ensure!(status.is_success() || gone, "{method} {path}: {status}");
        Ok(serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Freezes the broker by SIGSTOP: it answers nobody and uses no CPU.
    pub(crate) fn freeze_broker(&self) -> Result<()> {
        signal(self.broker_pid()?, "STOP")
    }

    /// Lets the frozen broker go on.
    pub(crate) fn thaw_broker(&self) -> Result<()> {
        signal(self.broker_pid()?, "CONT")
    }

    /// The process id of the broker.
    pub(crate) fn broker_pid(&self) -> Result<u32> {
        self.stack.rabbitmq().pid().context("RabbitMQ does not run")
    }

    /// The processes of both servers, for figures.
    pub(crate) fn groups(&self) -> Result<Vec<Group>> {
        let postgres = self.stack.postgres().pid().context("PostgreSQL does not run")?;
        Ok(vec![
            Group { name: "postgresql", members: vec![Measured::Tree(postgres)] },
            Group { name: "rabbitmq", members: vec![Measured::Tree(self.broker_pid()?)] },
        ])
    }
}

/// Reads a setting for the services, as the command line has it.
pub(crate) fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE, as TOKIO_WORKER_THREADS=1")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The load generator, the merchants included: this process.
pub(crate) fn own_group() -> Group {
    Group { name: "load-generator", members: vec![Measured::Process(std::process::id())] }
}

/// How many cores there are to share.
pub(crate) fn cores() -> f64 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    crate::stats::float(cores as u64)
}

/// A connection of its own to a database.
pub(crate) async fn connect(url: &str) -> Result<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("PostgreSQL")?;
    // Its end shows at the next statement.
    tokio::spawn(connection);
    Ok(client)
}

/// Has segments of the log made.
async fn fill_wal(client: &tokio_postgres::Client) -> Result<()> {
    for _ in 0..WAL_SEGMENTS {
        client
            .batch_execute("SELECT pg_logical_emit_message(false, 'bench', ''); SELECT pg_switch_wal()")
            .await?;
    }
    client.batch_execute("CHECKPOINT").await?;
    Ok(())
}

/// Bytes of WAL written since the server was made.
pub(crate) async fn wal_bytes(client: &tokio_postgres::Client) -> Result<f64> {
    let row = client.query_one("SELECT (pg_current_wal_lsn() - '0/0')::float8", &[]).await?;
    Ok(row.try_get(0)?)
}
