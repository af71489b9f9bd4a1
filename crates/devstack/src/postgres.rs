//! A private PostgreSQL server.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::installed::{self, Installation};
use crate::process::{Process, Program, run};
use crate::root::{Root, User, run_as};
use crate::watchdog::Watchdog;
use crate::{Error, ports};

const NAME: &str = "PostgreSQL";
const READY_LIMIT: Duration = Duration::from_secs(60);
/// What nobody leaves as it comes who runs it with a load: memory, room in the log between two checkpoints, after each of which
/// every page is written out once more, and what of the log is kept to be written over, for commits wait where it must be made.
const AS_IN_PRODUCTION: &str =
    "shared_buffers = 1GB\nmax_wal_size = 8GB\nmin_wal_size = 4GB\ncheckpoint_timeout = 15min\n";
const MAX_CONNECTIONS: u32 = 300;

/// A private `PostgreSQL` server, its only user `postgres` (no password, loopback only).
#[derive(Debug)]
pub struct Postgres {
    installation: Installation,
    program: Arc<Program>,
    data: PathBuf,
    port: u16,
    /// The user and group to run as; `None` = as the caller.
    user: Option<User>,
    watchdog: Arc<Watchdog>,
    process: Mutex<Option<Process>>,
}

impl Postgres {
    pub(crate) fn create(watchdog: &Arc<Watchdog>, durable: bool) -> Result<Self, Error> {
        let installation = installed::postgres()?;
        let folder = watchdog.directory().join("postgres");
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(Error::io("creating a folder for PostgreSQL"))?;
        // PostgreSQL refuses to run as root.
        let user = if watchdog.is_root()? { Some(unprivileged_user(&installation.root)?) } else { None };
        if let Some((uid, gid)) = user {
            chown(&folder, Some(uid), Some(gid))
                .map_err(Error::io("handing a folder to the user postgres"))?;
        }
        let program = Program {
            server: NAME,
            log: watchdog.directory().join("postgres.log"),
            quit_signal: "QUIT", // "immediate shutdown": takes the children along, unlike SIGKILL
        };
        let postgres = Self {
            installation,
            program: Arc::new(program),
            data: folder.join("data"),
            port: ports::free()?,
            user,
            watchdog: Arc::clone(watchdog),
            process: Mutex::new(None),
        };
        postgres.make_cluster(durable)?;
        postgres.start()?;
        Ok(postgres)
    }

    /// The URL of the database `postgres`, as superuser.
    pub fn database_url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The process id of the server; `None` while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Process::pid)
    }

    /// Stops the server in good order ("fast shutdown"). No effect when it is stopped already.
    pub fn stop(&self) -> Result<(), Error> {
        self.end("INT")
    }

    /// Crashes the server: SIGKILL, no chance to write anything.
    pub fn kill(&self) -> Result<(), Error> {
        self.end("KILL")
    }

    /// Starts the stopped server again, on the same port and data, and waits until it accepts connections. No effect when it
    /// is running.
    pub fn start(&self) -> Result<(), Error> {
        let mut slot = self.process();
        if slot.is_some() {
            return Ok(());
        }
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            match self.try_start() {
                // The last backends of a killed server are still on their way out.
                Err(Error::NotReady { log, .. })
                    if log.contains("pre-existing shared memory block") && Instant::now() < deadline => {}
                result => {
                    *slot = Some(result?);
                    return Ok(());
                }
            }
        }
    }

    fn try_start(&self) -> Result<Process, Error> {
        let (mut command, user) = self.installation.command_as("postgres", self.user);
        command.arg("-D").arg(&self.data);
        let mut process = Process::start(&self.program, &command, &self.watchdog, user)?;
        let port = self.port.to_string();
        process.wait_ready(READY_LIMIT, || {
            let mut probe = self.installation.command("pg_isready");
            probe.args([
                "--quiet",
                "--host=127.0.0.1",
                "--username=postgres",
                "--dbname=postgres",
                "--port",
                &port,
            ]);
            run(&mut probe, "asking pg_isready").is_ok()
        })?;
        Ok(process)
    }

    fn end(&self, signal: &str) -> Result<(), Error> {
        self.process().take().map_or(Ok(()), |mut process| process.end(signal))
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make_cluster(&self, durable: bool) -> Result<(), Error> {
        let (mut initdb, user) = self.installation.command_as("initdb", self.user);
        initdb.args([
            "--no-sync",
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "--pgdata",
        ]);
        initdb.arg(&self.data).current_dir("/");
        run_as(&mut initdb, user);
        run(&mut initdb, "creating a PostgreSQL cluster (initdb)")?;
        let sizes = if durable { AS_IN_PRODUCTION } else { "" };
        let durable = if durable { "on" } else { "off" };
        let settings = format!(
            "listen_addresses = '127.0.0.1'\n\
             port = {}\n\
             unix_socket_directories = ''\n\
             max_connections = {MAX_CONNECTIONS}\n\
             fsync = {durable}\n\
             full_page_writes = {durable}\n\
             # Shared memory in files of the cluster, so that nothing stays behind when it is removed.\n\
             dynamic_shared_memory_type = mmap\n\
             timezone = 'UTC'\n\
             log_timezone = 'UTC'\n\
             {sizes}",
            self.port
        );
        // The last setting of a name holds.
        let file = self.data.join("postgresql.conf");
        let defaults = fs::read_to_string(&file).map_err(Error::io("reading postgresql.conf"))?;
        fs::write(&file, defaults + &settings).map_err(Error::io("writing postgresql.conf"))
    }
}

/// User and group id of `postgres`, else of `nobody`, from `/etc/passwd` of the servers' root.
pub(crate) fn unprivileged_user(root: &Root) -> Result<User, Error> {
    let passwd = fs::read_to_string(root.outside("/etc/passwd")).map_err(Error::io("reading /etc/passwd"))?;
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|wanted| passwd.lines().find_map(|line| ids_of(line, wanted)))
        .ok_or_else(|| Error::NotInstalled {
            server: NAME,
            detail: "there is no user postgres for it to run as".to_owned(),
        })
}

fn ids_of(line: &str, wanted: &str) -> Option<User> {
    let mut fields = line.split(':');
    if fields.next()? != wanted {
        return None;
    }
    Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
}
