//! Finds the servers' programs: Debian's and Homebrew's folders first, then the search path.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;
use crate::process::run;

/// The oldest `PostgreSQL` major version that is supported.
pub const POSTGRES_MIN_VERSION: u32 = 15;

/// The oldest `RabbitMQ` version, major and minor, that is supported.
pub const RABBITMQ_MIN_VERSION: (u32, u32) = (3, 10);

/// Programs of one server, of a supported version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The folder of the programs.
    pub programs: PathBuf,
    /// The version, as the server's files tell it.
    pub version: String,
}

impl Installation {
    /// A command for one of the programs. What the caller's environment says about servers is kept from it, for that is
    /// meant for other servers.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        for (variable, _) in env::vars_os() {
            if ["PG", "RABBITMQ_", "ERL_"].iter().any(|prefix| variable.to_string_lossy().starts_with(prefix))
            {
                command.env_remove(variable);
            }
        }
        command
    }
}

/// The newest `PostgreSQL` server, with `initdb` and `psql`.
///
/// # Errors
/// [`Error::NotInstalled`] when there is none, or only older ones than [`POSTGRES_MIN_VERSION`].
pub fn postgres() -> Result<Installation, Error> {
    let mut folders = subfolders("/usr/lib/postgresql", |_| true);
    for opt in ["/opt/homebrew/opt", "/usr/local/opt"] {
        folders.extend(subfolders(opt, |name| name.starts_with("postgresql")));
    }
    let mut folders: Vec<PathBuf> = folders.into_iter().map(|folder| folder.join("bin")).collect();
    if let Ok(folder) = run(Command::new("pg_config").arg("--bindir"), "asking pg_config") {
        folders.push(PathBuf::from(folder.trim()));
    }
    folders.extend(search_path());
    let found = folders
        .into_iter()
        .filter(|folder| {
            ["postgres", "initdb", "psql", "pg_isready"].iter().all(|name| folder.join(name).is_file())
        })
        .filter_map(postgres_in)
        .max_by_key(|(version, _)| *version);
    match found {
        Some((version, installation)) if version >= POSTGRES_MIN_VERSION => Ok(installation),
        Some((version, _)) => Err(missing_postgres(&format!("found only version {version}"))),
        None => Err(missing_postgres("found no folder with postgres, initdb and psql")),
    }
}

fn postgres_in(programs: PathBuf) -> Option<(u32, Installation)> {
    let output = run(Command::new(programs.join("postgres")).arg("--version"), "asking postgres").ok()?;
    // "postgres (PostgreSQL) 17.2 (Debian 17.2-1)", or "18beta1" in place of the number.
    let version = output.split_whitespace().nth(2)?.to_owned();
    let major = version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    Some((major, Installation { programs, version }))
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
        .chain(search_path())
        .filter(|folder| folder.join("rabbitmq-server").is_file() && folder.join("rabbitmqctl").is_file())
        .find_map(|folder| Some((rabbitmq_version(&folder)?, folder)))
        .ok_or_else(|| missing("found no rabbitmq-server"))?;
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    if (numbers.next(), numbers.next()) < (Some(RABBITMQ_MIN_VERSION.0), Some(RABBITMQ_MIN_VERSION.1)) {
        let (major, minor) = RABBITMQ_MIN_VERSION;
        return Err(missing(&format!("{major}.{minor} or later is needed; found {version}")));
    }
    epmd()?;
    Ok(Installation { programs, version })
}

/// The version stands in the name of the `rabbit` plugin, beside the scripts; asking the script would start Erlang, which
/// takes seconds.
fn rabbitmq_version(programs: &Path) -> Option<String> {
    let script = programs.join("rabbitmq-server").canonicalize().ok()?;
    let home = script.parent()?.parent()?;
    let nested = subfolders(&home.join("lib").to_string_lossy(), |name| name.starts_with("rabbitmq_server"));
    nested.iter().map(PathBuf::as_path).chain([home]).find_map(|home| {
        let plugins = subfolders(&home.join("plugins").to_string_lossy(), |name| name.starts_with("rabbit-"));
        let name = plugins.first()?.file_name()?.to_str()?.to_owned();
        name.strip_prefix("rabbit-").map(str::to_owned)
    })
}

/// Erlang's port mapper, which every node needs.
///
/// # Errors
/// [`Error::NotInstalled`] when it is not to be found.
pub(crate) fn epmd() -> Result<PathBuf, Error> {
    let in_erlang = subfolders("/usr/lib/erlang", |name| name.starts_with("erts-"))
        .into_iter()
        .map(|erts| erts.join("bin"));
    search_path()
        .chain(in_erlang)
        .chain(["/opt/homebrew/bin".into(), "/usr/local/bin".into()])
        .map(|folder| folder.join("epmd"))
        .find(|program| program.is_file())
        .ok_or_else(|| Error::NotInstalled {
            server: "RabbitMQ",
            detail: "found no Erlang (epmd)".to_owned(),
        })
}

fn search_path() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

fn subfolders(folder: &str, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(&wanted))
        .map(|entry| entry.path())
        .collect()
}
