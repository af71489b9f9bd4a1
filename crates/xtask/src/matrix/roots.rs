//! Root folders of other systems, made once.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{self, Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use devstack::installed::{self, Root};

use super::progress;
use crate::{cargo, setup};

/// Where roots are kept; without it, in the target folder.
const FOLDER_VARIABLE: &str = "PAYRELAY_MATRIX_ROOTS";
/// The mirror to make roots from. That of the security updates is the one beside it, `…-security`.
const MIRROR_VARIABLE: &str = "PAYRELAY_DEBIAN_MIRROR";
const MIRROR: &str = "http://deb.debian.org/debian";
const MAKE_ROOT: &str = include_str!("make_root.sh");
/// How much of the log says why a root could not be made.
const REASON_LINES: usize = 15;

/// A release of Debian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum System {
    Stable,
    Testing,
    Unstable,
}

impl System {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Testing => "testing",
            Self::Unstable => "unstable",
        }
    }

    /// What it stands for today. Fixed, so that the same release has the same name in every run.
    fn release(self) -> &'static str {
        match self {
            Self::Stable => "trixie",
            Self::Testing => "forky",
            Self::Unstable => "sid",
        }
    }
}

/// Servers that tests can run on.
pub(super) struct Servers {
    pub(super) system: System,
    pub(super) root: PathBuf,
    pub(super) postgres: String,
    pub(super) rabbitmq: String,
}

/// The folder of all roots, and of what is written about them.
pub(super) fn folder() -> Result<PathBuf> {
    let folder = match env::var_os(FOLDER_VARIABLE) {
        Some(folder) => path::absolute(folder)?,
        None => cargo::programs()?.parent().context("the programs' folder has no parent")?.join("matrix"),
    };
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}

/// The servers of this system; makes its root if there is none.
pub(super) fn servers(system: System, folder: &Path) -> Result<Servers> {
    let root = folder.join(system.release());
    // Another matrix may be about to make the same.
    let lock = File::create(root.with_extension("lock")).context("creating a root's lock")?;
    lock.lock().context("waiting for a root's lock")?;
    if !root.is_dir() {
        make(system, &root)?;
    }
    let servers = Root::at(&root);
    let remedy = || format!("the servers in {}; remove it to have it made again", root.display());
    let postgres = installed::postgres_of(&servers).with_context(remedy)?.version;
    let rabbitmq = installed::rabbitmq_of(&servers).with_context(remedy)?.version;
    Ok(Servers { system, root, postgres, rabbitmq })
}

fn make(system: System, root: &Path) -> Result<()> {
    let log_path = root.with_extension("log");
    progress(&format!("making a root of Debian {} ({}): some minutes", system.name(), system.release()));
    let log = File::create(&log_path).with_context(|| format!("creating {}", log_path.display()))?;
    let mirror = env::var(MIRROR_VARIABLE).unwrap_or_else(|_| MIRROR.to_owned());
    let status = Command::new("unshare")
        .args(["--mount", "--", "sh", "-c", MAKE_ROOT, "matrix", system.release()])
        .arg(root)
        .arg(mirror.trim_end_matches('/'))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .context("unshare (of util-linux) cannot be run")?;
    if status.success() {
        return Ok(());
    }
    let lines: Vec<String> = BufReader::new(File::open(&log_path)?).lines().map_while(Result::ok).collect();
    let reason = lines[lines.len().saturating_sub(REASON_LINES)..].join("\n");
    bail!(
        "a root of Debian {} could not be made ({status}); {}:\n{reason}",
        system.name(),
        log_path.display()
    )
}

/// Fails where the matrix cannot run, and says what is missing; installs debootstrap where that is all.
pub(super) fn require() -> Result<()> {
    ensure!(
        setup::is_root()?,
        "`cargo xtask matrix` enters other systems' roots: run it as root (or by sudo)"
    );
    let enters =
        Command::new("unshare").args(["--mount", "--", "mount", "--rbind", "/proc", "/proc"]).output();
    let enters = enters.context("unshare (of util-linux) cannot be run")?;
    ensure!(
        enters.status.success(),
        "this machine does not let root mount, which a root needs; in a container, give it CAP_SYS_ADMIN: {}",
        String::from_utf8_lossy(&enters.stderr).trim()
    );
    if setup::on_search_path("debootstrap") {
        return Ok(());
    }
    ensure!(
        setup::on_search_path("apt-get"),
        "debootstrap is missing, and apt-get, which would install it; install debootstrap, then run this again"
    );
    progress("installing debootstrap");
    setup::install_on_debian(&["debootstrap", "debian-archive-keyring"])
}
