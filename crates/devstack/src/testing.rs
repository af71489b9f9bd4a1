//! What tests need: one pair of servers for all, and a database and a vhost for each.
//!
//! `cargo xtask test` starts one stack for all test programs and names it in the environment. A single `cargo test` without
//! it works as well: each test program then starts the servers that it uses, when it first uses them.

pub mod compilers;
pub mod interpreters;
pub mod pgbouncer;
pub mod pictures;
mod promtool;
mod skip;
mod tools;
mod twins;

use std::collections::VecDeque;
use std::env;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::http::{Management, number, segment};
use crate::installed::{self, Installation};
use crate::process::run;
use crate::watchdog::unique_name;
use crate::{Error, Stack, StackOptions, ports};

pub use promtool::promtool;
pub use skip::skip;
pub use twins::{Twinned, add_twins};

/// Names the URL of the test servers' database, as a user who may create databases.
pub const DATABASE_URL_VARIABLE: &str = "PAYRELAY_TEST_DATABASE_URL";
/// Names the URL of the test broker, as the user `guest`.
pub const AMQP_URL_VARIABLE: &str = "PAYRELAY_TEST_AMQP_URL";
/// Names the URL of the test broker's management API.
pub const MANAGEMENT_URL_VARIABLE: &str = "PAYRELAY_TEST_RABBITMQ_MANAGEMENT_URL";

/// Names the folder of the workspace's programs, built for the tests.
pub const PROGRAMS_VARIABLE: &str = "PAYRELAY_TEST_BIN_DIR";

/// No wait of a test is longer. It costs nothing where a test succeeds, so it is long enough for a machine that does much else.
pub const DEADLINE: Duration = Duration::from_secs(180);

/// The queues of a vhost have chosen their leaders after this time.
const VHOST_SETTLES: Duration = Duration::from_secs(20);

/// The path of one of the workspace's programs, such as `ingress`.
///
/// # Panics
/// When it has not been built; the message says what to do.
pub fn program(name: &str) -> PathBuf {
    // Cargo puts a test program into `deps`, beside the programs.
    let beside = || Some(env::current_exe().ok()?.parent()?.parent()?.to_owned());
    let folder = env::var_os(PROGRAMS_VARIABLE).map(PathBuf::from).or_else(beside).unwrap_or_default();
    let program = folder.join(name);
    assert!(program.is_file(), "{} is missing: run `cargo build --workspace --bins`", program.display());
    program
}

/// A free TCP port on 127.0.0.1 for a program under test. The system hands it to no outgoing connection, so it stays free while
/// the program is restarted.
///
/// # Panics
/// When no port is free.
pub fn free_port() -> u16 {
    ports::free().unwrap_or_else(|error| panic!("a port for a test: {error}"))
}

/// Where the shared test servers are.
#[derive(Debug, Clone)]
pub struct Servers {
    /// A database of a user who may create databases.
    pub database_url: String,
    /// The vhost `/` of the user `guest`.
    pub amqp_url: String,
    /// `http://host:port`
    pub management_url: String,
}

/// The servers that all tests share. Nobody may stop them: for that, start a [`Stack`].
///
/// # Panics
/// When they do not start; the message says what to do.
pub fn servers() -> Servers {
    let Broker { amqp_url, management_url } = Broker::shared();
    Servers {
        database_url: Server::shared().url.clone(),
        amqp_url: amqp_url.clone(),
        management_url: management_url.clone(),
    }
}

/// A fresh, empty database on the shared server, dropped when this is.
#[derive(Debug)]
pub struct Database {
    name: String,
    url: String,
}

impl Database {
    /// Creates the database.
    ///
    /// # Panics
    /// When it cannot be created; the message says what to do.
    pub fn create() -> Self {
        let server = Server::shared();
        let name = format!("test_{}", unique_name().replace('-', "_"));
        let created = server.execute(&format!("CREATE DATABASE {name}"));
        created.unwrap_or_else(|error| panic!("a database for a test: {error}"));
        let base = server.url.rsplit_once('/').map_or(server.url.as_str(), |(base, _)| base);
        Self { url: format!("{base}/{name}"), name }
    }

    /// The URL to connect to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name: `test_…`.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // What stays behind goes with the server.
        let _ = Server::shared().execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// A fresh, empty vhost on the shared broker, deleted when this is dropped.
#[derive(Debug)]
pub struct Vhost {
    name: String,
    amqp_url: String,
    management: Management,
}

impl Vhost {
    /// Creates the vhost, with all permissions for `guest`.
    ///
    /// # Panics
    /// When it cannot be created; the message says what to do.
    pub fn create() -> Self {
        Self::try_create().unwrap_or_else(|error| panic!("a vhost for a test: {error}"))
    }

    fn try_create() -> Result<Self, Error> {
        let Broker { amqp_url, management_url } = Broker::shared();
        let management = Management::new(management_url)?;
        let name = format!("test-{}", unique_name());
        management.request("PUT", &format!("/api/vhosts/{name}"), "{}")?;
        let all = r#"{"configure":".*","write":".*","read":".*"}"#;
        management.request("PUT", &format!("/api/permissions/{name}/guest"), all)?;
        let base = amqp_url.rsplit_once('/').map_or(amqp_url.as_str(), |(base, _)| base);
        Ok(Self { amqp_url: format!("{base}/{name}"), name, management })
    }

    /// The URL to connect to.
    pub fn amqp_url(&self) -> &str {
        &self.amqp_url
    }

    /// The name: `test-…`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL for a user of this vhost who may do no more than the patterns `configure`, `write` and `read` say. It goes with the
    /// broker.
    ///
    /// # Panics
    /// When the user cannot be made.
    pub fn narrowed(&self, [configure, write, read]: [&str; 3]) -> String {
        let user = unique_name();
        let rights = format!(r#"{{"configure":"{configure}","write":"{write}","read":"{read}"}}"#);
        let made = self
            .management
            .request("PUT", &format!("/api/users/{user}"), r#"{"password":"narrow","tags":""}"#)
            .and_then(|_| {
                let path = format!("/api/permissions/{}/{user}", self.name);
                self.management.request("PUT", &path, &rights.replace('\\', r"\\"))
            });
        made.unwrap_or_else(|error| panic!("a user for a test: {error}"));
        let host = self.amqp_url.rsplit_once('@').map_or(self.amqp_url.as_str(), |(_, host)| host);
        format!("amqp://{user}:narrow@{host}")
    }

    /// How many messages the queue holds, ready or delivered and not yet acknowledged; half a second behind. `None` while
    /// the queue does not exist or its first figures are still to come.
    ///
    /// # Panics
    /// When the broker does not answer.
    pub fn queue_depth(&self, queue: &str) -> Option<u64> {
        let path = format!("/api/queues/{}/{}", self.name, segment(queue));
        let answer = self.management.request("GET", &path, "");
        number(&answer.unwrap_or_else(|error| panic!("the depth of {queue}: {error}"))?, "messages")
    }
}

impl Drop for Vhost {
    /// Deletes the vhosts that were dropped some time ago, and leaves this one for later: RabbitMQ 4.0 loses the supervisor of
    /// dead-lettering when a vhost goes while a queue in it still chooses its leader. What stays behind goes with the broker.
    fn drop(&mut self) {
        static DROPPED: Mutex<VecDeque<(Instant, String)>> = Mutex::new(VecDeque::new());
        let mut dropped = DROPPED.lock().unwrap_or_else(PoisonError::into_inner);
        dropped.push_back((Instant::now(), self.name.clone()));
        let mut settled = Vec::new();
        while dropped.front().is_some_and(|(at, _)| at.elapsed() > VHOST_SETTLES) {
            settled.extend(dropped.pop_front().map(|(_, name)| name));
        }
        drop(dropped);
        for name in settled {
            self.delete_named(&name);
        }
    }
}

impl Vhost {
    #[cfg(test)]
    fn delete(&self) {
        self.delete_named(&self.name);
    }

    fn delete_named(&self, name: &str) {
        // What stays behind goes with the broker.
        let _ = self.management.request("DELETE", &format!("/api/vhosts/{name}"), "");
    }
}

/// The shared database server.
#[derive(Debug)]
struct Server {
    url: String,
    installation: Installation,
}

impl Server {
    fn shared() -> &'static Self {
        static STACK: OnceLock<Stack> = OnceLock::new();
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| Self {
            url: env::var(DATABASE_URL_VARIABLE)
                .unwrap_or_else(|_| STACK.get_or_init(|| start(true, false)).postgres().database_url()),
            installation: installed::postgres().unwrap_or_else(|error| panic!("{error}")),
        })
    }

    fn execute(&self, statement: &str) -> Result<String, Error> {
        self.execute_in(&self.url, statement)
    }

    fn execute_in(&self, url: &str, statement: &str) -> Result<String, Error> {
        let mut psql = self.installation.command("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--set=ON_ERROR_STOP=1"]);
        run(psql.args(["--dbname", url, "--command", statement]), statement)
    }
}

/// The shared broker.
#[derive(Debug)]
struct Broker {
    amqp_url: String,
    management_url: String,
}

impl Broker {
    fn shared() -> &'static Self {
        static STACK: OnceLock<Stack> = OnceLock::new();
        static BROKER: OnceLock<Broker> = OnceLock::new();
        BROKER.get_or_init(|| {
            if let (Ok(amqp_url), Ok(management_url)) =
                (env::var(AMQP_URL_VARIABLE), env::var(MANAGEMENT_URL_VARIABLE))
            {
                return Self { amqp_url, management_url };
            }
            let rabbitmq = STACK.get_or_init(|| start(false, true)).rabbitmq();
            Self { amqp_url: rabbitmq.amqp_url(), management_url: rabbitmq.management_url() }
        })
    }
}

/// Lives in a static, which is never dropped: the watchdog cleans up when the test program ends.
fn start(postgres: bool, rabbitmq: bool) -> Stack {
    Stack::start(&StackOptions { postgres, rabbitmq, durable: false })
        .unwrap_or_else(|error| panic!("servers for tests: {error}"))
}

#[cfg(test)]
mod tests;
