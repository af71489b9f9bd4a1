//! `payrelay notifications retry`: first what it would do, then, once agreed to, a little at a time.

use std::{
    fmt,
    io::{IsTerminal, stdin},
    num::NonZeroU32,
    str::FromStr,
    time::Duration,
};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::Filter;
use crate::{
    admin::Admin,
    failure::{CommandResult, Failure},
    output,
};

/// What is made due at once is at most a tenth of a second's share, so that the merchant sees a stream and not a wave.
const BATCHES_PER_SECOND: u32 = 10;
const MAX_RATE: u32 = 1000;

/// What to retry, and how fast.
#[derive(Debug, Args)]
pub(crate) struct Retry {
    /// One notification, parked or waiting for a later attempt; without it, every one that was parked.
    #[arg(conflicts_with_all = ["merchant", "status", "since", "until"])]
    notification_id: Option<Uuid>,
    #[command(flatten)]
    filter: Filter,
    /// How many a second, 1 to 1000.
    #[arg(long, value_name = "N/s", default_value = "50/s")]
    rate: Rate,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// How many a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate(NonZeroU32);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix("/s").unwrap_or(text).parse().ok();
        let rate = number.filter(|rate: &NonZeroU32| rate.get() <= MAX_RATE).map(Self);
        rate.ok_or_else(|| format!("expected 1/s to {MAX_RATE}/s"))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

impl Rate {
    /// How many at once, and how long until the next ones.
    pub(crate) fn batches(self) -> (u32, Duration) {
        let size = self.0.get().div_ceil(BATCHES_PER_SECOND);
        (size, Duration::from_secs(1) * size / self.0.get())
    }

    pub(crate) fn time_for(self, count: u64) -> Duration {
        Duration::from_secs(count.div_ceil(self.0.get().into()))
    }
}

#[derive(Debug, Deserialize)]
struct Preview {
    count: u64,
    #[serde(with = "time::serde::rfc3339::option")]
    oldest: Option<OffsetDateTime>,
    held: u64,
    as_of: String,
}

#[derive(Debug, Deserialize)]
struct Retried {
    retried: u64,
}

/// What was found and done.
#[derive(Debug, Serialize)]
struct Summary {
    found: u64,
    retried: u64,
    /// Those that cannot be sent as their endpoints stand.
    held: u64,
}

/// Shows what there is to retry, asks, and makes it due at the rate given.
pub(super) async fn run(admin: &Admin, retry: &Retry, json: bool) -> CommandResult {
    let mut selection = retry.filter.parameters()?;
    selection.extend(retry.notification_id.map(|id| ("notification_id", id.to_string())));
    let preview = admin.notifier.get("/admin/notifications/retryable", &selection).await?;
    describe(&preview, retry.rate)?;
    let retried = if preview.count == 0 {
        if let Some(id) = retry.notification_id {
            explain(admin, id).await?;
        }
        0
    } else {
        agree(retry.yes, "nothing was retried")?;
        send(admin, &selection, &preview, retry.rate).await?
    };
    let summary = Summary { found: preview.count, retried, held: preview.held };
    if json {
        return Ok(output::json(&summary)?);
    }
    Ok(output::line(format!("{retried} of {} notifications are due now", summary.found))?)
}

fn describe(preview: &Preview, rate: Rate) -> anyhow::Result<()> {
    let Preview { count, oldest, held, .. } = preview;
    match oldest {
        Some(oldest) => output::progress(format!(
            "{count} to retry, the oldest of {}; about {} s at {rate}",
            oldest.format(&Rfc3339)?,
            rate.time_for(*count).as_secs(),
        )),
        None => output::progress("nothing to retry"),
    }
    if *held > 0 {
        output::progress(format!(
            "{held} more wait for their endpoint (see payrelay merchant add and enable) and go on by themselves"
        ));
    }
    Ok(())
}

/// Why one notification is not retried.
async fn explain(admin: &Admin, id: Uuid) -> CommandResult {
    let shown: Value = admin.notifier.get(&format!("/admin/notifications/{id}"), &[]).await?;
    let [status, next] = ["status", "next_attempt_at"].map(|field| output::cell(&shown[field]));
    match status.as_str() {
        "DELIVERED" => output::progress(format!("{id} is delivered")),
        "PENDING" => output::progress(format!("{id} is due or in flight since {next}")),
        _ => output::progress(format!("{id} is parked: {}", output::cell(&shown["reason"]))),
    }
    Ok(())
}

/// Asks whether to go on. `otherwise` says what came of a no.
pub(crate) fn agree(yes: bool, otherwise: &str) -> CommandResult {
    if yes {
        return Ok(());
    }
    if !stdin().is_terminal() {
        return Err(Failure::Usage("there is no terminal to ask at; say --yes to go on".to_owned()));
    }
    output::progress("Go on? [y/N]");
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(anyhow::Error::from)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::Findings(otherwise.to_owned()))
}

/// Goes on until nothing is left of what was there at the preview; what others retried or delivered meanwhile is left out
/// by the notifier.
async fn send(
    admin: &Admin,
    selection: &[(&'static str, String)],
    preview: &Preview,
    rate: Rate,
) -> Result<u64, Failure> {
    let (size, pause) = rate.batches();
    let mut body: Map<String, Value> =
        selection.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    body.insert("as_of".to_owned(), json!(preview.as_of));
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut all = 0;
    // What was parked since the preview is for another run.
    while all < preview.count {
        ticks.tick().await;
        body.insert("limit".to_owned(), json!((preview.count - all).min(size.into())));
        let Retried { retried } = admin.notifier.post("/admin/notifications/retry", &body).await?;
        if retried == 0 {
            break;
        }
        all += retried;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_a_second() {
        for text in ["20/s", "20"] {
            assert_eq!(text.parse(), Ok(Rate(NonZeroU32::new(20).unwrap())));
        }
        for text in ["", "0", "0/s", "-1", "1.5/s", "20/m", "1001/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn batches_keep_the_rate() {
        for (rate, size, pause_ms) in [(1, 1, 1000), (10, 1, 100), (15, 2, 133), (1000, 100, 100)] {
            let rate = Rate(NonZeroU32::new(rate).unwrap());
            let (batch, pause) = rate.batches();
            assert_eq!((batch, pause.as_millis()), (size, pause_ms));
        }
        let rate = Rate(NonZeroU32::new(20).unwrap());
        assert_eq!(rate.time_for(41), Duration::from_secs(3));
    }
}
