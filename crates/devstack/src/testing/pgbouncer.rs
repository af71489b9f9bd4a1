//! A private `PgBouncer` before the test server, for tests of what poolers do.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::{Database, Server, skip};
use crate::postgres::unprivileged_user;
use crate::process::{Process, Program, run};
use crate::root::Root;
use crate::watchdog::Watchdog;
use crate::{Error, installed, ports};

const READY_LIMIT: Duration = Duration::from_secs(20);

/// A running `PgBouncer`. Dropping it stops it and ends its sessions.
#[derive(Debug)]
pub struct Pgbouncer {
    port: u16,
    process: Process,
    watchdog: Arc<Watchdog>,
}

impl Pgbouncer {
    /// Starts one with `settings`, lines of `name = value`, in the section `[pgbouncer]`; `None` after a message that the test
    /// is skipped, for `PgBouncer` is not installed.
    ///
    /// # Panics
    /// When it does not start, and with `CI=true` when it is not installed: nothing may be skipped there.
    pub fn start(settings: &str) -> Option<Self> {
        let Some(program) = installed::pgbouncer() else {
            skip("no pgbouncer; `cargo xtask setup` installs it");
            return None;
        };
        let command = Command::new(program);
        Some(Self::run(command, settings).unwrap_or_else(|error| panic!("a pgbouncer for a test: {error}")))
    }

    fn run(mut command: Command, settings: &str) -> Result<Self, Error> {
        let watchdog = Arc::new(Watchdog::start()?);
        let user = if watchdog.is_root()? { Some(unprivileged_user(&Root::own())?) } else { None };
        let port = ports::free()?;
        command.arg(configure(&watchdog, port, settings)?);
        let log = watchdog.directory().join("pgbouncer.log");
        let program = Arc::new(Program { server: "PgBouncer", log, quit_signal: "TERM" });
        let mut process = Process::start(&program, &command, &watchdog, user)?;
        process.wait_ready(READY_LIMIT, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())?;
        Ok(Self { port, process, watchdog })
    }

    /// Gives it other settings while it runs.
    ///
    /// # Panics
    /// When that does not succeed.
    pub fn reload(&self, settings: &str) {
        let told = configure(&self.watchdog, self.port, settings).and_then(|_| {
            let pid = self.process.pid().to_string();
            run(Command::new("sh").args(["-c", r#"kill -s HUP "$1""#, "sh", &pid]), "reloading pgbouncer")
        });
        told.unwrap_or_else(|error| panic!("a pgbouncer for a test: {error}"));
    }

    /// The URL of `database` by this way.
    pub fn url(&self, database: &Database) -> String {
        let from = format!(":{}/", port_of(database.url()));
        database.url().replace(&from, &format!(":{}/", self.port))
    }
}

fn configure(watchdog: &Watchdog, port: u16, settings: &str) -> Result<PathBuf, Error> {
    let (file, server) = (watchdog.directory().join("pgbouncer.ini"), port_of(&Server::shared().url));
    let text = format!(
        "[databases]\n* = host=127.0.0.1 port={server} user=postgres\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n{settings}\n"
    );
    fs::write(&file, text).map_err(Error::io("writing pgbouncer.ini"))?;
    Ok(file)
}

fn port_of(url: &str) -> u16 {
    let port = url.rsplit_once('/').and_then(|(base, _)| base.rsplit_once(':')).map(|(_, port)| port.parse());
    port.and_then(Result::ok).unwrap_or_else(|| panic!("the test server's URL names a port"))
}
