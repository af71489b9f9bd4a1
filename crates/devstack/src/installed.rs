//! Finds the servers' programs: Debian's and Homebrew's folders first, then the search path; of this system, or of the one that
//! [`ROOT_VARIABLE`] names.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;
use crate::process::run;
use crate::root::User;
pub use crate::root::{ROOT_VARIABLE, Root};

/// The oldest `PostgreSQL` major version that is supported.
pub const POSTGRES_MIN_VERSION: u32 = 15;

/// The oldest `RabbitMQ` version, major and minor, that is supported.
pub const RABBITMQ_MIN_VERSION: (u32, u32) = (3, 10);

/// Programs of one server, of a supported version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The folder of the programs, as it is called within `root`.
    pub programs: PathBuf,
    /// The version, as the server's files tell it.
    pub version: String,
    /// The system that the programs are of.
    pub root: Root,
}

impl Installation {
    /// A command for one of the programs. What the caller's environment says about servers is kept from it, for that is
    /// meant for other servers.
    pub fn command(&self, program: &str) -> Command {
        self.command_as(program, None).0
    }

    /// The same for a program that runs as `user`, and whom to start it as.
    pub(crate) fn command_as(&self, program: &str, user: Option<User>) -> (Command, Option<User>) {
        let (mut command, user) = self.root.command(&self.programs.join(program), user);
        for (variable, _) in env::vars_os() {
            if ["PG", "RABBITMQ_", "ERL_"].iter().any(|prefix| variable.to_string_lossy().starts_with(prefix))
            {
                command.env_remove(variable);
            }
        }
        (command, user)
    }
}

/// The newest `PostgreSQL` server, with `initdb` and `psql`.
///
/// # Errors
/// [`Error::NotInstalled`] when there is none, or only older ones than [`POSTGRES_MIN_VERSION`].
pub fn postgres() -> Result<Installation, Error> {
    postgres_of(&Root::from_env())
}

/// The same of another system.
///
/// # Errors
/// As of [`postgres`].
pub fn postgres_of(root: &Root) -> Result<Installation, Error> {
    let mut folders = subfolders(root, "/usr/lib/postgresql", |_| true);
    for opt in ["/opt/homebrew/opt", "/usr/local/opt"] {
        folders.extend(subfolders(root, opt, |name| name.starts_with("postgresql")));
    }
    let mut folders: Vec<PathBuf> = folders.into_iter().map(|folder| folder.join("bin")).collect();
    if !root.is_foreign()
        && let Ok(folder) = run(Command::new("pg_config").arg("--bindir"), "asking pg_config")
    {
        folders.push(PathBuf::from(folder.trim()));
    }
    folders.extend(root.search_path());
    let programs = ["postgres", "initdb", "psql", "pg_isready"];
    let found = folders
        .into_iter()
        .filter(|folder| programs.iter().all(|name| root.outside(folder.join(name)).is_file()))
        .filter_map(|folder| postgres_in(root, folder))
        .max_by_key(|(version, _)| *version);
    match found {
        Some((version, installation)) if version >= POSTGRES_MIN_VERSION => Ok(installation),
        Some((version, _)) => Err(missing_postgres(&format!("found only version {version}"))),
        None => Err(missing_postgres("found no folder with postgres, initdb and psql")),
    }
}

fn postgres_in(root: &Root, programs: PathBuf) -> Option<(u32, Installation)> {
    let (mut postgres, _) = root.command(&programs.join("postgres"), None);
    let output = run(postgres.arg("--version"), "asking postgres").ok()?;
    // "postgres (PostgreSQL) 17.2 (Debian 17.2-1)", or "18beta1" in place of the number.
    let version = output.split_whitespace().nth(2)?.to_owned();
    let major = version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    Some((major, Installation { programs, version, root: root.clone() }))
}

fn missing_postgres(found: &str) -> Error {
    Error::NotInstalled {
        server: "PostgreSQL",
        detail: format!("version {POSTGRES_MIN_VERSION} or later is needed; {found}"),
    }
}

/// The `RabbitMQ` server's own scripts; never Debian's wrappers of the same names on the search path, which change to the
/// user and the files of the system's broker.
///
/// # Errors
/// [`Error::NotInstalled`] when there is none, when it is older than [`RABBITMQ_MIN_VERSION`], or when Erlang is missing.
pub fn rabbitmq() -> Result<Installation, Error> {
    rabbitmq_of(&Root::from_env())
}

/// The same of another system.
///
/// # Errors
/// As of [`rabbitmq`].
pub fn rabbitmq_of(root: &Root) -> Result<Installation, Error> {
    let missing = |detail: &str| Error::NotInstalled { server: "RabbitMQ", detail: detail.to_owned() };
    let fixed = [
        "/usr/lib/rabbitmq/bin",
        "/opt/homebrew/opt/rabbitmq/sbin",
        "/usr/local/opt/rabbitmq/sbin",
        "/opt/rabbitmq/sbin",
    ];
    let (version, programs) = fixed
        .into_iter()
        .map(PathBuf::from)
        .chain(root.search_path())
        .filter(|folder| {
            ["rabbitmq-server", "rabbitmqctl"].iter().all(|name| root.outside(folder.join(name)).is_file())
        })
        .find_map(|folder| Some((rabbitmq_version(&root.outside(&folder))?, folder)))
        .ok_or_else(|| missing("found no rabbitmq-server"))?;
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    if (numbers.next(), numbers.next()) < (Some(RABBITMQ_MIN_VERSION.0), Some(RABBITMQ_MIN_VERSION.1)) {
        let (major, minor) = RABBITMQ_MIN_VERSION;
        return Err(missing(&format!("{major}.{minor} or later is needed; found {version}")));
    }
    epmd(root)?;
    Ok(Installation { programs, version, root: root.clone() })
}

/// The version stands in the name of the `rabbit` plugin, beside the scripts; asking the script would start Erlang, which
/// takes seconds.
fn rabbitmq_version(programs: &Path) -> Option<String> {
    let script = programs.join("rabbitmq-server").canonicalize().ok()?;
    let home = script.parent()?.parent()?;
    let nested = names(&home.join("lib"), |name| name.starts_with("rabbitmq_server"));
    let nested = nested.iter().map(|name| home.join("lib").join(name));
    nested.chain([home.to_owned()]).find_map(|home| {
        let name = names(&home.join("plugins"), |name| name.starts_with("rabbit-")).into_iter().next()?;
        name.strip_prefix("rabbit-").map(str::to_owned)
    })
}

/// `PgBouncer`, which tests put before `PostgreSQL`; `None` where it is not installed.
pub fn pgbouncer() -> Option<PathBuf> {
    // Not on every search path: Debian's is a program of administrators.
    let folders = ["/usr/sbin", "/opt/homebrew/bin", "/usr/local/bin"].into_iter().map(PathBuf::from);
    folders
        .chain(Root::own().search_path())
        .map(|folder| folder.join("pgbouncer"))
        .find(|program| program.is_file())
}

/// Erlang's port mapper, which every node needs; its path within the root.
///
/// # Errors
/// [`Error::NotInstalled`] when it is not to be found.
pub(crate) fn epmd(root: &Root) -> Result<PathBuf, Error> {
    let in_erlang = subfolders(root, "/usr/lib/erlang", |name| name.starts_with("erts-"))
        .into_iter()
        .map(|erts| erts.join("bin"));
    root.search_path()
        .into_iter()
        .chain(in_erlang)
        .chain(["/opt/homebrew/bin".into(), "/usr/local/bin".into()])
        .map(|folder| folder.join("epmd"))
        .find(|program| root.outside(program).is_file())
        .ok_or_else(|| Error::NotInstalled {
            server: "RabbitMQ",
            detail: "found no Erlang (epmd)".to_owned(),
        })
}

/// The folders within `folder` of the root.
fn subfolders(root: &Root, folder: &str, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    names(&root.outside(folder), wanted).into_iter().map(|name| Path::new(folder).join(name)).collect()
}

fn names(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| wanted(name)).collect()
}
