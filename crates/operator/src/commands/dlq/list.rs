//! `payrelay dlq list`

use std::collections::BTreeMap;

use messaging::{ConsumerQueue, DeadLetter, DeadLetters, MAX_INSPECTED};
use serde::Serialize;
use time::OffsetDateTime;

use super::{broker, missing, queues, view};
use crate::{failure::CommandResult, output};

/// One dead-letter queue.
#[derive(Debug, Serialize)]
struct Row {
    queue: String,
    depth: u32,
    /// The messages that the other fields speak of.
    looked_at: usize,
    #[serde(with = "time::serde::rfc3339::option")]
    oldest: Option<OffsetDateTime>,
    reasons: BTreeMap<String, usize>,
}

impl Row {
    fn new(queue: &ConsumerQueue, depth: u32, seen: &[DeadLetter]) -> Self {
        let mut reasons = BTreeMap::new();
        for letter in seen {
            *reasons.entry(letter.reason.clone()).or_default() += 1;
        }
        Self {
            queue: queue.dead_letter_queue(),
            depth,
            looked_at: seen.len(),
            oldest: seen.iter().filter_map(|letter| letter.first_seen).min(),
            reasons,
        }
    }
}

/// Lists all dead-letter queues, the empty ones, too.
pub(super) async fn run(json: bool) -> CommandResult {
    let broker = broker::from_env("dlq list")?;
    let mut rows = Vec::new();
    for queue in queues() {
        let look = DeadLetters::look(&broker, &queue).await.map_err(broker::failure)?;
        let (depth, seen) = look.ok_or_else(|| missing(&queue))?;
        rows.push(Row::new(&queue, depth, &seen));
    }
    if json {
        return Ok(output::json(&rows)?);
    }
    let now = OffsetDateTime::now_utc();
    let lines = rows.iter().map(|row| {
        let reasons = row.reasons.iter().map(|(reason, count)| format!("{}={count}", view::clean(reason)));
        let reasons = reasons.collect::<Vec<_>>().join(" ");
        [row.queue.clone(), row.depth.to_string(), age(row.oldest, now), reasons]
    });
    output::table(["QUEUE", "DEPTH", "OLDEST", "REASONS"], lines)?;
    if rows.iter().any(|row| row.depth as usize > row.looked_at) {
        output::progress(format!(
            "age and reasons are those of the first {MAX_INSPECTED} messages of a queue"
        ));
    }
    Ok(())
}

/// As `3d 4h`, in the two largest units.
fn age(oldest: Option<OffsetDateTime>, now: OffsetDateTime) -> String {
    let Some(oldest) = oldest else { return "-".to_owned() };
    let seconds = (now - oldest).whole_seconds().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use time::{Duration, macros::datetime};

    use super::*;

    #[test]
    fn ages_read_in_their_two_largest_units() {
        let now = datetime!(2026-01-02 00:00 UTC);
        let ago = |seconds| age(Some(now - Duration::seconds(seconds)), now);
        assert_eq!([ago(-5), ago(59), ago(61), ago(3661)], ["0s", "59s", "1m 1s", "1h 1m"]);
        assert_eq!([ago(90_000), age(None, now)], ["1d 1h", "-"]);
    }
}
