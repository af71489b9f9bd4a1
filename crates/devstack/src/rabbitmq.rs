//! A private RabbitMQ broker with its own Erlang port mapper.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::http::Management;
use crate::installed::{self, Installation};
use crate::process::{Process, Program, run};
use crate::watchdog::{Watchdog, unique_name};
use crate::{Error, ports};

const NAME: &str = "RabbitMQ";
const READY_LIMIT: Duration = Duration::from_secs(120);
const EPMD_READY_LIMIT: Duration = Duration::from_secs(20);

/// A private `RabbitMQ` broker with the management plugin, user `guest`, password `guest`, loopback only.
#[derive(Debug)]
pub struct RabbitMq {
    installation: Installation,
    program: Arc<Program>,
    folder: PathBuf,
    node: String,
    ports: Ports,
    watchdog: Arc<Watchdog>,
    // Declared, and therefore dropped, before the port mapper, which the node needs.
    process: Mutex<Option<Process>>,
    _epmd: Process,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    amqp: u16,
    management: u16,
    distribution: u16,
    epmd: u16,
}

impl RabbitMq {
    pub(crate) fn create(watchdog: &Arc<Watchdog>, durable: bool) -> Result<Self, Error> {
        let installation = installed::rabbitmq()?;
        let folder = watchdog.directory().join("rabbitmq");
        let ports = Ports {
            amqp: ports::free()?,
            management: ports::free()?,
            distribution: ports::free()?,
            epmd: ports::free()?,
        };
        write_files(&folder, ports, durable).map_err(Error::io("writing RabbitMQ's configuration"))?;
        let program =
            Program { server: NAME, log: watchdog.directory().join("rabbitmq.log"), quit_signal: "KILL" };
        let epmd = start_epmd(&installation, watchdog, ports.epmd)?;
        let rabbitmq = Self {
            installation,
            program: Arc::new(program),
            folder,
            node: format!("payrelay-{}@localhost", unique_name()),
            ports,
            watchdog: Arc::clone(watchdog),
            process: Mutex::new(None),
            _epmd: epmd,
        };
        rabbitmq.start()?;
        Ok(rabbitmq)
    }

    /// The URL of the vhost `/`.
    pub fn amqp_url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.ports.amqp)
    }

    /// The URL of the management HTTP API and page, without a path.
    pub fn management_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.management)
    }

    /// The process id of the broker; `None` while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Process::pid)
    }

    /// Stops the broker in good order. No effect when it is stopped already.
    pub fn stop(&self) -> Result<(), Error> {
        self.end("TERM")
    }

    /// Crashes the broker: SIGKILL, no chance to write anything.
    ///
    /// The names of its queues are flushed before: RabbitMQ 3.10 keeps those declared in the last seconds in memory, and
    /// a single node that forgets a queue's name starts the queue anew, empty and without a leader. Only a broker that
    /// is killed within seconds of its first set-up loses them, and that is not the crash that a test means.
    pub fn kill(&self) -> Result<(), Error> {
        if self.pid().is_some() {
            self.ctl(&["eval", "[dets:sync(Table) || Table <- dets:all()]."])?;
        }
        self.end("KILL")
    }

    /// Starts the stopped broker again, on the same ports and data, and waits until it accepts connections. No effect when it
    /// is running.
    pub fn start(&self) -> Result<(), Error> {
        let mut slot = self.process();
        if slot.is_some() {
            return Ok(());
        }
        let mut process =
            Process::start(&self.program, &self.script("rabbitmq-server"), &self.watchdog, None)?;
        let management = Management::new(&self.management_url())?;
        process.wait_ready(READY_LIMIT, || {
            accepts(self.ports.amqp) && management.request("GET", "/api/vhosts", "").is_ok()
        })?;
        *slot = Some(process);
        Ok(())
    }

    /// Adds lines to `rabbitmq.conf`, which the broker reads when it is started again.
    pub fn configure(&self, lines: &str) -> Result<(), Error> {
        let file = OpenOptions::new().append(true).open(self.folder.join("rabbitmq.conf"));
        file.and_then(|mut file| file.write_all(lines.as_bytes())).map_err(Error::io("writing rabbitmq.conf"))
    }

    /// Runs `rabbitmqctl` with these arguments against the running broker and returns what it printed. With
    /// `["set_vm_memory_high_watermark", "0"]` publishers are blocked, with `["set_vm_memory_high_watermark",
    /// "absolute", "1GB"]` they go on. A file that they name must be in the stack's directory, which a broker of another root sees, too.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String, Error> {
        let mut command = self.script("rabbitmqctl");
        run(command.args(arguments), &format!("rabbitmqctl {}", arguments.join(" ")))
    }

    fn end(&self, signal: &str) -> Result<(), Error> {
        self.process().take().map_or(Ok(()), |mut process| process.end(signal))
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of RabbitMQ's scripts with the environment that keeps it to this broker's own files and ports.
    fn script(&self, name: &str) -> Command {
        let mut command = self.installation.command(name);
        let file = |name: &str| self.folder.join(name);
        command
            .env("HOME", &self.folder) // of the Erlang cookie
            .env("ERL_EPMD_PORT", self.ports.epmd.to_string())
            .env("RABBITMQ_NODENAME", &self.node)
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", file("none-rabbitmq-env.conf"))
            .env("RABBITMQ_CONFIG_FILE", file("rabbitmq.conf"))
            .env("RABBITMQ_CONFIG_FILES", file("none-conf.d"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", file("advanced.config"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", file("generated"))
            .env("RABBITMQ_SCHEMA_DIR", file("schema"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", file("enabled_plugins"))
            .env("RABBITMQ_PLUGINS_EXPAND_DIR", file("plugins"))
            .env("RABBITMQ_FEATURE_FLAGS_FILE", file("feature_flags"))
            .env("RABBITMQ_MNESIA_BASE", file("data"))
            .env("RABBITMQ_MNESIA_DIR", file("data/node"))
            .env("RABBITMQ_PID_FILE", file("pid"))
            .env("RABBITMQ_LOG_BASE", file("log"))
            .env("RABBITMQ_LOGS", "-")
            // The started script then becomes the server, instead of a shell that waits for it.
            .env("RABBITMQ_ALLOW_INPUT", "true")
            // Loopback only, also between nodes; few threads, for a quick start on small machines.
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false -noinput +S 2:2 +A 8",
            )
            // The tool listens too, on any free port instead of one of ten fixed ones.
            .env("RABBITMQ_CTL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false")
            .env("RABBITMQ_CTL_DIST_PORT_MIN", "0")
            .env("RABBITMQ_CTL_DIST_PORT_MAX", "0");
        command
    }
}

/// Runs in the foreground, so that it ends with the stack; a node would start one as a daemon for good.
fn start_epmd(installation: &Installation, watchdog: &Arc<Watchdog>, port: u16) -> Result<Process, Error> {
    let program = Program {
        server: "Erlang's port mapper (epmd)",
        log: watchdog.directory().join("epmd.log"),
        quit_signal: "KILL",
    };
    let root = &installation.root;
    let (mut command, _) = root.command(&installed::epmd(root)?, None);
    command.args(["-address", "127.0.0.1", "-port", &port.to_string()]);
    let mut process = Process::start(&Arc::new(program), &command, watchdog, None)?;
    process.wait_ready(EPMD_READY_LIMIT, || accepts(port))?;
    Ok(process)
}

fn accepts(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A `durable` node is set as one of production is. Another shows depths of queues within about a second, at a price that shows
/// under load, and keeps its files small. Not sooner: RabbitMQ 4.0 loses a quorum queue whose first tick comes before its
/// leader has written its first entry, which takes that long on a busy machine.
fn write_files(folder: &Path, ports: Ports, durable: bool) -> std::io::Result<()> {
    DirBuilder::new().mode(0o700).create(folder)?;
    let (wal_bytes, statistics_ms) = if durable { (64 << 20, 5000) } else { (16 << 20, 1000) };
    let configuration = format!(
        "listeners.tcp.1 = 127.0.0.1:{}\n\
         management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = {}\n\
         max_message_size = 1048576\n\
         disk_free_limit.absolute = 50MB\n\
         vm_memory_high_watermark.absolute = 1GB\n\
         raft.wal_max_size_bytes = {wal_bytes}\n\
         collect_statistics_interval = {statistics_ms}\n\
         log.console = true\n\
         log.console.level = info\n",
        ports.amqp, ports.management
    );
    fs::write(folder.join("rabbitmq.conf"), configuration)?;
    let quorum = format!("[{{rabbit, [{{quorum_tick_interval, {statistics_ms}}}]}}].\n");
    fs::write(folder.join("advanced.config"), quorum)?;
    fs::write(folder.join("enabled_plugins"), "[rabbitmq_management].\n")?;
    // Erlang refuses a cookie that others can read.
    let mut cookie =
        OpenOptions::new().write(true).create_new(true).mode(0o400).open(folder.join(".erlang.cookie"))?;
    cookie.write_all(unique_name().as_bytes())
}
