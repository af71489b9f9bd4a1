//! The end of a run: everything is healed, and everything under way arrives.

use std::time::Duration;

use anyhow::Result;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use crate::checker;
use crate::evidence;
use crate::history::{History, Outcome, Payment, Poison, Seen};
use crate::progress::Progress;
use crate::world::World;

/// How long all of it may take, on the slowest of machines.
const LIMIT: Duration = Duration::from_secs(300);
const INTERVAL: Duration = Duration::from_millis(500);
/// Between two lines of progress about the same.
const QUIET: Duration = Duration::from_secs(5);

/// Waits until all services are ready, every payment has arrived, the queues are empty and the audit is clean. Says what is
/// still open when time is up; the checker then finds out what it means.
pub(crate) async fn wait(world: &World, history: &History, progress: Progress) -> Option<String> {
    let mut drain = Drain { deadline: Instant::now() + LIMIT, progress, said: None };
    let nothing = Seen::default();
    let mut open: Vec<&Payment> = history.payments.iter().collect();
    let drained = async {
        drain.until(async || ready(world).await).await?;
        drain
            .until(async || {
                let seen = evidence::look(world, open.iter().copied())
                    .await
                    .map_err(|error| format!("{error:#}"))?;
                let missing = |payment: &Payment| {
                    checker::missing(payment, seen.get(&payment.order_no).unwrap_or(&nothing))
                };
                open.retain(|payment| missing(payment).is_some());
                let first = open.first().and_then(|payment| Some((payment, missing(payment)?)));
                first.map_or(Ok(()), |(payment, what)| {
                    Err(format!("{} payments are under way; {}: {what}", open.len(), payment.order_no))
                })
            })
            .await?;
        drain.until(async || empty_queues(world)).await?;
        drain.until(async || dead_letters(world, history).await).await?;
        drain.until(async || audited(world).await).await
    };
    drained.await.err()
}

struct Drain {
    deadline: Instant,
    progress: Progress,
    said: Option<Instant>,
}

impl Drain {
    /// Looks until it is so. The deadline is one for all.
    async fn until(&mut self, mut look: impl AsyncFnMut() -> Result<(), String>) -> Result<(), String> {
        loop {
            let Err(seen) = look().await else { return Ok(()) };
            if Instant::now() > self.deadline {
                return Err(format!("not drained within {} s: {seen}", LIMIT.as_secs()));
            }
            if self.said.is_none_or(|said| said.elapsed() > QUIET) {
                self.said = Some(Instant::now());
                self.progress.say(&format!("draining: {seen}"));
            }
            sleep(INTERVAL).await;
        }
    }
}

async fn ready(world: &World) -> Result<(), String> {
    let http = scenarios::http_client();
    for service in &world.services {
        let url = format!("{}/readyz", service.lock().await.admin_url);
        let answer = http.get(&url).send().await.map_err(|error| format!("{url}: {error}"))?;
        if !answer.status().is_success() {
            return Err(format!("{url}: {}", answer.text().await.unwrap_or_default()));
        }
    }
    Ok(())
}

/// Repetitions still on their way could double something.
fn empty_queues(world: &World) -> Result<(), String> {
    let rabbitmq = world.servers.stack().rabbitmq();
    let list = ["list_queues", "--quiet", "--no-table-headers", "name", "messages"];
    let listed = block_in_place(|| rabbitmq.ctl(&list)).map_err(|error| error.to_string())?;
    let is_full = |line: &&str| {
        let mut columns = line.split_whitespace();
        columns.next().is_some_and(|name| name.strip_suffix(".dlq").is_none()) && columns.next() != Some("0")
    };
    listed.lines().find(is_full).map_or(Ok(()), |line| Err(format!("messages in {line}")))
}

async fn dead_letters(world: &World, history: &History) -> Result<(), String> {
    let there = evidence::dead_letters(world).await.map_err(|error| format!("{error:#}"))?;
    let provoked = history.poison.iter().filter(|poison| poison.outcome == Outcome::Acknowledged);
    let missing = provoked.flat_map(Poison::dead_letters).find(|letter| !there.contains(letter));
    missing.map_or(Ok(()), |letter| Err(format!("{letter:?} is under way")))
}

/// Exit code 0: what was committed was published, applied and notified.
async fn audited(world: &World) -> Result<(), String> {
    let answer = world.payrelay(&["audit", "--json"]).await;
    if answer.code == Some(0) { Ok(()) } else { Err(format!("payrelay audit: {answer:?}")) }
}
