//! `payrelay dlq discard`

use std::{
    cell::Cell,
    fs::{File, OpenOptions},
    io::{self, BufRead, IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use messaging::{Broker, DeadLetter, DeadLetters, MAX_REMOVED};
use serde_json::json;
use time::OffsetDateTime;

use super::{Selection, broker, open, view};
use crate::{
    failure::{CommandResult, Failure},
    output,
};

/// What to discard.
#[derive(Debug, Args)]
pub(crate) struct Discard {
    #[command(flatten)]
    selection: Selection,
    /// How many to discard at most; all if left out.
    #[arg(long)]
    limit: Option<usize>,
    /// Where to write what is discarded, as lines of JSON. They are added to a file that is there.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// Discards what matches, after asking, and prints how many.
pub(super) async fn run(options: &Discard, json: bool) -> CommandResult {
    if !options.yes && !io::stdin().is_terminal() {
        return Err(Failure::Usage("--yes: expected it, for there is no terminal to ask at".to_owned()));
    }
    let broker = broker::from_env("dlq discard")?;
    let limit = options.limit.unwrap_or(usize::MAX);
    let limit = if options.yes { limit } else { confirmed(&broker, options, limit).await? };
    let mut file = open_file(&options.file)?;
    let mut letters = open(&broker, &options.selection.queue).await?;
    let mut discarded = 0;
    let result = discard(&mut letters, &mut file, options, limit, &mut discarded).await;
    let closed = letters.close().await.map_err(broker::failure);
    if json {
        output::json(&json!({ "discarded": discarded, "file": options.file.display().to_string() }))?;
    } else {
        let (queue, file) = (options.selection.queue.dead_letter_queue(), options.file.display());
        output::line(format!("{queue}: {discarded} discarded, written to {file}"))?;
    }
    result.and(closed)
}

/// Counts what matches and asks whether that is meant; returns the number that was agreed to.
async fn confirmed(broker: &Broker, options: &Discard, limit: usize) -> Result<usize, Failure> {
    let mut letters = open(broker, &options.selection.queue).await?;
    let matching = Cell::new(0);
    let counted = letters.gather(usize::MAX, |letter| {
        matching.set(matching.get() + usize::from(options.selection.matches(letter)));
        // Counted is enough: nothing is to be kept in memory.
        false
    });
    let counted = counted.await;
    letters.close().await.map_err(broker::failure)?;
    counted.map_err(broker::failure)?;
    let count = matching.get().min(limit);
    if count > 0 {
        let queue = options.selection.queue.dead_letter_queue();
        output::progress(format!(
            "{count} messages of {queue} will be removed for good. Type: discard {count}"
        ));
        if !is_agreed(io::stdin().lock(), count).context("cannot read the answer")? {
            return Err(Failure::Findings("nothing was discarded".to_owned()));
        }
    }
    Ok(count)
}

fn is_agreed(mut input: impl BufRead, count: usize) -> io::Result<bool> {
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(answer.trim() == format!("discard {count}"))
}

async fn discard(
    letters: &mut DeadLetters,
    file: &mut File,
    options: &Discard,
    limit: usize,
    discarded: &mut usize,
) -> CommandResult {
    while *discarded < limit {
        let wanted = MAX_REMOVED.min(limit - *discarded);
        let batch = letters.gather(wanted, |letter| options.selection.matches(letter)).await;
        let batch = batch.map_err(broker::failure)?;
        if batch.is_empty() {
            return Ok(());
        }
        let queue = options.selection.queue.dead_letter_queue();
        letters
            .discard(&batch, |batch| Ok(write(file, &queue, batch)?))
            .await
            .map_err(DiscardError::into_failure)?;
        *discarded += batch.len();
        output::progress(format!("{discarded} discarded"));
    }
    Ok(())
}

/// Why a batch was not discarded.
enum DiscardError {
    Write(anyhow::Error),
    Broker(messaging::Error),
}

impl From<messaging::Error> for DiscardError {
    fn from(error: messaging::Error) -> Self {
        Self::Broker(error)
    }
}

impl From<anyhow::Error> for DiscardError {
    fn from(error: anyhow::Error) -> Self {
        Self::Write(error)
    }
}

impl DiscardError {
    fn into_failure(self) -> Failure {
        match self {
            Self::Write(error) => Failure::Other(error),
            Self::Broker(error) => broker::failure(error),
        }
    }
}

/// Opened to be added to, readable by its owner only, and sure to be found after a crash.
fn open_file(path: &Path) -> anyhow::Result<File> {
    let open = || {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok::<_, io::Error>(file)
    };
    open().with_context(|| format!("cannot write {}", path.display()))
}

/// One line for each message, on disk when this returns.
fn write(file: &mut File, queue: &str, batch: &[DeadLetter]) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for letter in batch {
        let mut record = view::record(letter);
        record["queue"] = queue.into();
        record["discarded_at"] = view::rfc3339(Some(OffsetDateTime::now_utc())).into();
        serde_json::to_writer(&mut lines, &record)?;
        lines.push(b'\n');
    }
    file.write_all(&lines).and_then(|()| file.sync_all()).context("cannot write what is to be discarded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_answer_is_taken_for_yes() {
        for (answer, agreed) in
            [("discard 12\n", true), ("discard 1\n", false), ("yes\n", false), ("\n", false), ("", false)]
        {
            assert_eq!(is_agreed(answer.as_bytes(), 12).expect("a text"), agreed, "{answer:?}");
        }
    }
}
