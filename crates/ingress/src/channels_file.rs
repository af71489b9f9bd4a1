//! The channels file: read at the start and again at SIGHUP, so that keys are rotated without a restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use channels::ChannelSet;
use time::OffsetDateTime;
use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use transport::shown_path;

use crate::metric_table;

/// The channel accounts in force. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Channels {
    file: Option<Arc<Path>>,
    accounts: Arc<RwLock<Accounts>>,
}

#[derive(Debug, Default)]
struct Accounts {
    /// The names of the file's, sorted.
    in_file: Vec<String>,
    /// Those that no file holds.
    added: ChannelSet,
    /// All, replaced as a whole.
    current: Arc<ChannelSet>,
}

/// One thing for which a channels file is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// What is wrong, with the name of the file.
    pub(crate) problem: String,
    /// What to do about it.
    pub(crate) advice: &'static str,
}

impl Channels {
    /// The accounts of this file.
    pub(crate) fn open(file: PathBuf) -> Result<Self, Vec<Problem>> {
        let read = read(&file)?;
        let accounts =
            Accounts { in_file: names(&read), added: ChannelSet::default(), current: Arc::new(read) };
        Ok(Self { file: Some(file.into()), accounts: Arc::new(RwLock::new(accounts)) })
    }

    /// Adds accounts that no file holds; they stay whatever the file says, and of two of the same name they hold.
    pub fn add(&self, more: &ChannelSet) {
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        accounts.added = std::mem::take(&mut accounts.added).with(more.clone());
        accounts.current = Arc::new(ChannelSet::clone(&accounts.current).with(more.clone()));
    }

    /// All accounts as they are now. Whoever looks twice in one request keeps what he got.
    pub fn current(&self) -> Arc<ChannelSet> {
        Arc::clone(&self.accounts.read().unwrap_or_else(PoisonError::into_inner).current)
    }

    /// Reads the file and the files that it names again; the accounts change all at once, or, with any error, not at all. A file
    /// that has lost all its accounts is an error: it is probably just being written.
    fn reload(&self) -> Result<(), Vec<Problem>> {
        let Some(file) = &self.file else { return Ok(()) };
        let read = read(file)?;
        let in_file = names(&read);
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        if in_file.is_empty() && !accounts.in_file.is_empty() {
            let had = accounts.in_file.join(", ");
            let problem = format!("{}: no account is left of {had}", file.display());
            let advice = "write the file as a whole; to have no accounts, start again";
            return Err(vec![Problem { problem, advice }]);
        }
        let gone: Vec<_> = accounts.in_file.iter().filter(|name| !in_file.contains(name)).collect();
        if !gone.is_empty() {
            tracing::warn!(?gone, "accounts have gone from the channels file; their channels hear 404 now");
        }
        accounts.in_file = in_file;
        accounts.current = Arc::new(read.with(accounts.added.clone()));
        Ok(())
    }
}

fn names(accounts: &ChannelSet) -> Vec<String> {
    accounts.names().map(str::to_owned).collect()
}

/// Keys in files of their own are named relative to the file that names them.
fn read(file: &Path) -> Result<ChannelSet, Vec<Problem>> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let problem = format!("names {}, which cannot be read ({error})", shown_path(file));
        vec![Problem { problem, advice: "name a readable file" }]
    })?;
    let folder = file.parent().unwrap_or(Path::new(""));
    ChannelSet::parse(&text, |key| std::fs::read(folder.join(key))).map_err(|errors| {
        let problem = |error| format!("{}: {error}", file.display());
        errors.0.iter().map(|error| Problem { problem: problem(error), advice: "correct the file" }).collect()
    })
}

/// Reloads at every `hangup`, until cancelled.
pub(crate) async fn reload_on(mut hangup: Signal, channels: Channels, until: CancellationToken) {
    record(true);
    while let Some(Some(())) = until.run_until_cancelled(hangup.recv()).await {
        let reloading = channels.clone();
        // Files may be on a disk that is slow.
        let reloaded = spawn_blocking(move || reloading.reload()).await;
        let problems = match reloaded {
            Ok(Ok(())) => {
                let accounts = channels.current().names().count();
                tracing::info!(accounts, "the channels file was read again");
                metric_table::start_accounts(&channels.current());
                record(true);
                continue;
            }
            Ok(Err(problems)) => problems.into_iter().map(|found| found.problem).collect(),
            Err(panic) => vec![panic.to_string()],
        };
        for problem in &problems {
            tracing::error!(problem, "the channels file is wrong");
        }
        tracing::error!(
            problems = problems.len(),
            "the channels file is refused; all accounts stay as they were"
        );
        record(false);
    }
}

/// What the last reading came to.
fn record(taken: bool) {
    metrics::gauge!("payrelay_channels_file_refused").set(if taken { 0.0 } else { 1.0 });
    if taken {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is a float, and exact for the next 200 million years"
        )]
        let now = OffsetDateTime::now_utc().unix_timestamp() as f64;
        metrics::gauge!("payrelay_channels_file_read_timestamp_seconds").set(now);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn account(name: &str) -> String {
        format!("[{name}]\nkind = 'standard'\nsecret_file = 'key'\n")
    }

    fn names(channels: &Channels) -> Vec<String> {
        super::names(&channels.current())
    }

    #[test]
    fn a_good_file_replaces_the_old_one_and_a_wrong_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("channels.toml");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("key", SECRET);
        write("channels.toml", &account("first"));
        let channels = Channels::open(file.clone()).unwrap();
        channels.add(&ChannelSet::parse(&account("own"), |_| Ok(SECRET.into())).unwrap());
        let clone = channels.clone();
        assert_eq!(names(&channels), ["first", "own"]);

        write("channels.toml", &account("second"));
        assert_eq!(names(&channels), ["first", "own"], "nobody has asked for it");
        let before = channels.current();
        clone.reload().unwrap();
        assert_eq!(names(&channels), ["own", "second"]);
        assert_eq!(before.names().collect::<Vec<_>>(), ["first", "own"], "who began with it goes on with it");

        write("key", "no key");
        let problems = channels.reload().unwrap_err();
        assert!(problems[0].problem.contains("[second] secret_file"), "{problems:?}");
        write("channels.toml", &format!("{}{}", account("third"), account("fourth")));
        assert_eq!(channels.reload().unwrap_err().len(), 2, "every error is told");
        fs::remove_file(&file).unwrap();
        assert_eq!(channels.reload().unwrap_err().len(), 1);
        assert_eq!(names(&channels), ["own", "second"]);
    }

    #[test]
    fn a_file_that_is_just_being_written_takes_no_account_away() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("channels.toml");
        fs::write(folder.path().join("key"), SECRET).unwrap();
        fs::write(&file, "").unwrap();
        let channels = Channels::open(file.clone()).unwrap();
        channels.add(&ChannelSet::parse(&account("own"), |_| Ok(SECRET.into())).unwrap());
        channels.reload().unwrap();
        assert_eq!(names(&channels), ["own"], "there were none before");

        fs::write(&file, format!("{}{}", account("first"), account("second"))).unwrap();
        channels.reload().unwrap();
        fs::write(&file, account("second")).unwrap();
        channels.reload().unwrap();
        assert_eq!(names(&channels), ["own", "second"], "one may go");
        for cut in ["", "# nothing yet"] {
            fs::write(&file, cut).unwrap();
            let problems = channels.reload().unwrap_err();
            assert!(problems[0].problem.contains("no account is left of second"), "{problems:?}");
            assert_eq!(names(&channels), ["own", "second"], "{cut:?}");
        }
        fs::write(&file, account("third")).unwrap();
        channels.reload().unwrap();
        assert_eq!(names(&channels), ["own", "third"]);
    }

    #[test]
    fn without_a_file_there_is_nothing_to_reload() {
        let channels = Channels::default();
        channels.reload().unwrap();
        assert_eq!(names(&channels), [""; 0]);
    }
}
