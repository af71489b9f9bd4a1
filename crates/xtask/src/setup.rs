//! `cargo xtask setup`: finds the servers' programs, and installs what is missing.

use std::env;
use std::io;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use devstack::Error;
use devstack::installed::{self, Installation};

use crate::step;

const INSTALL_ON_DEBIAN: &str = include_str!("install_on_debian.sh");

/// What a thing is called by the package managers.
struct Package {
    debian: &'static str,
    homebrew: &'static str,
}

/// A server, and how it is found.
struct Server {
    name: &'static str,
    find: fn() -> Result<Installation, Error>,
    package: Package,
}

const SERVERS: [Server; 2] = [
    Server {
        name: "PostgreSQL",
        find: installed::postgres,
        package: Package { debian: "postgresql", homebrew: "postgresql@17" },
    },
    Server {
        name: "RabbitMQ",
        find: installed::rabbitmq,
        package: Package { debian: "rabbitmq-server", homebrew: "rabbitmq" },
    },
];
/// Some tests put it before PostgreSQL.
const PGBOUNCER: Package = Package { debian: "pgbouncer", homebrew: "pgbouncer" };
/// The services' allocator, in C, is built by it, for release.
const MAKE: Package = Package { debian: "make", homebrew: "make" };

/// Installs what is missing, by the package manager of the system; does nothing where all is there.
pub(crate) fn run() -> Result<()> {
    needed()?;
    if installed::pgbouncer().is_none()
        && let Err(error) = install(&[&PGBOUNCER])
    {
        step(&format!("there is no pgbouncer, so the tests that need it are skipped: {error:#}"));
    }
    Ok(())
}

/// [`run`], and what building for release needs besides Rust.
pub(crate) fn run_for_release() -> Result<()> {
    run()?;
    if !on_search_path("make") {
        step("make is missing");
        install(&[&MAKE])?;
        ensure!(
            on_search_path("make"),
            "there is still no make on the search path; install it, on macOS by `xcode-select --install`"
        );
    }
    Ok(())
}

/// What nothing can be run without.
fn needed() -> Result<()> {
    let missing: Vec<&Server> = SERVERS.iter().filter(|server| !report(server)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    install(&missing.iter().map(|server| &server.package).collect::<Vec<_>>())?;
    for server in missing {
        if !report(server) {
            bail!(
                "this system's packages bring no {} that is recent enough; install PostgreSQL {} or later and RabbitMQ \
                 {}.{} or later from the packages of these projects",
                server.name,
                installed::POSTGRES_MIN_VERSION,
                installed::RABBITMQ_MIN_VERSION.0,
                installed::RABBITMQ_MIN_VERSION.1,
            );
        }
    }
    Ok(())
}

/// Prints what is there of the server; returns whether it can be used.
fn report(server: &Server) -> bool {
    match (server.find)() {
        Ok(Installation { programs, version, root }) => {
            step(&format!("{} {version} found in {}", server.name, root.outside(programs).display()));
            true
        }
        Err(Error::NotInstalled { detail, .. }) => {
            step(&format!("{} is missing: {detail}", server.name));
            false
        }
        Err(error) => {
            step(&format!("{} cannot be examined: {error}", server.name));
            false
        }
    }
}

fn install(missing: &[&Package]) -> Result<()> {
    let (mut command, packages): (Command, Vec<&str>) = if on_search_path("apt-get") {
        (debian()?, missing.iter().map(|package| package.debian).collect())
    } else if on_search_path("brew") {
        let mut brew = Command::new("brew");
        brew.arg("install");
        (brew, missing.iter().map(|package| package.homebrew).collect())
    } else {
        bail!(
            "neither apt-get nor brew is here; install PostgreSQL {} or later (server and psql) and RabbitMQ {}.{} or later \
             with their programs on the search path, then run this again",
            installed::POSTGRES_MIN_VERSION,
            installed::RABBITMQ_MIN_VERSION.0,
            installed::RABBITMQ_MIN_VERSION.1,
        );
    };
    step(&format!("installing {}", packages.join(" and ")));
    let status = command.args(&packages).status().context("the package manager cannot be run")?;
    ensure!(
        status.success(),
        "installing {} did not succeed ({status}); its output is above",
        packages.join(" and ")
    );
    step(&format!("installed {}", packages.join(" and ")));
    Ok(())
}

/// Installs these packages by apt-get.
pub(crate) fn install_on_debian(packages: &[&str]) -> Result<()> {
    let status = debian()?.args(packages).stdout(io::stderr()).status().context("sh cannot be run")?;
    ensure!(status.success(), "installing {} did not succeed ({status})", packages.join(" and "));
    Ok(())
}

/// Whether this process is root's.
pub(crate) fn is_root() -> Result<bool> {
    let user = Command::new("id").arg("-u").stderr(Stdio::inherit()).output().context("id cannot be run")?;
    Ok(user.stdout.trim_ascii() == b"0")
}

/// The installing script, as root or by sudo.
fn debian() -> Result<Command> {
    let mut command = if is_root()? {
        Command::new("sh")
    } else {
        ensure!(
            on_search_path("sudo"),
            "installing needs root, and there is no sudo; run `apt-get install postgresql rabbitmq-server make` as root, then \
             this again"
        );
        step("installing needs root: sudo may ask for your password");
        let mut sudo = Command::new("sudo");
        sudo.arg("sh");
        sudo
    };
    command.args(["-c", INSTALL_ON_DEBIAN, "xtask-setup"]);
    Ok(command)
}

pub(crate) fn on_search_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
