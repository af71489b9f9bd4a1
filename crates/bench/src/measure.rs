//! The measurements that payrelay and the textbook pipeline undergo alike.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::sleep;

use crate::book::Step;
use crate::figures::Figures;
use crate::load::{Callbacks, Load, Pace};
use crate::machine::{connect, cores, wal_bytes};
use crate::plan::{Span, count};
use crate::procfs::{cpu_seconds, machine_busy_seconds, peak_rss_mb};
use crate::stats::{float, millis, percentile};
use crate::subject::Subject;

/// Connections for acceptance: enough that batches gather while two of the largest size are written, and fewer than the 1024
/// files that a process may usually have open.
const ACCEPT_CONNECTIONS: usize = 900;
/// Connections otherwise.
const CONNECTIONS: usize = 256;
/// Payments that were accepted and not yet told to their merchants, at most. The loop is closed over the whole pipeline.
pub(crate) const IN_FLIGHT: usize = 2048;
/// By how much the orders that wait may grow, as a part of those paid in the same time.
const MAX_GROWTH: f64 = 0.05;
/// How long what is in flight after a load may take.
const SETTLE_LIMIT: Duration = Duration::from_secs(600);

/// Counters at one moment of a load.
struct Moment {
    at: Duration,
    accepted: u64,
    delivered: u64,
    cpu: BTreeMap<&'static str, f64>,
    busy: f64,
    wal: f64,
}

/// What a sustained load showed.
#[derive(Debug)]
pub(crate) struct Sustained {
    /// Payments per second: the lesser of webhooks and orders paid.
    pub(crate) per_second: f64,
    /// CPU by process, memory, WAL, and how busy the machine was.
    pub(crate) figures: Figures,
    /// The first payment of the range that was not sent.
    pub(crate) next: usize,
}

/// What a load at a fixed rate showed.
#[derive(Debug)]
pub(crate) struct Steady {
    /// Callbacks accepted per second.
    pub(crate) accepted_per_s: f64,
    /// Webhooks per second.
    pub(crate) delivered_per_s: f64,
    /// CPU by process, WAL, and how busy the machine was.
    pub(crate) costs: Figures,
    /// Milliseconds, as `accept_p50_ms` and `end_to_end_p99_ms`.
    pub(crate) latencies: Figures,
}

/// Callbacks accepted per second, as fast as they are answered; and the first payment that was not sent.
pub(crate) async fn accepted_per_second(
    subject: &Subject,
    range: Range<usize>,
    span: Span,
) -> Result<(f64, usize)> {
    let book = &subject.book;
    let callbacks = Callbacks::signed(&subject.maker, range.clone())?;
    let pace = Pace::Closed { duration: span.warm + span.measured, bounded: false };
    let load = Load::start(subject.address, ACCEPT_CONNECTIONS, callbacks, book, pace).await?;
    sleep(span.warm).await;
    let (from, accepted) = (book.now(), book.accepted());
    sleep(span.measured.saturating_sub(Duration::from_millis(50))).await;
    let (to, accepted) = (book.now(), book.accepted() - accepted);
    let next = load.finish().await?;
    ensure!(next < range.end, "all {} payments were used up before the time was over", range.len());
    Ok((float(accepted) / to.saturating_sub(from).as_secs_f64(), next))
}

/// Payments per second through the whole pipeline, a bounded number of them in flight.
pub(crate) async fn sustained(subject: &Subject, range: Range<usize>, span: Span) -> Result<Sustained> {
    let book = &subject.book;
    let callbacks = Callbacks::signed(&subject.maker, range.clone())?;
    let pace = Pace::Closed { duration: span.warm + span.measured, bounded: true };
    book.room.forget_permits(usize::MAX >> 4);
    book.room.add_permits(IN_FLIGHT);
    let load = Load::start(subject.address, CONNECTIONS, callbacks, book, pace).await?;
    sleep(span.warm).await;
    let from = Moment::now(subject).await?;
    let memory = peak_memory(subject, span.measured.saturating_sub(Duration::from_millis(100))).await?;
    let to = Moment::now(subject).await?;
    let next = load.finish().await?;
    ensure!(next < range.end, "all {} payments were used up before the time was over", range.len());
    subject.settle(SETTLE_LIMIT).await?;

    let paid_before = subject.paid(Duration::ZERO, from.at).await?;
    let paid = subject.paid(from.at, to.at).await?;
    check_backlog(&from, &to, paid_before, paid)?;
    let seconds = to.at.saturating_sub(from.at).as_secs_f64();
    let done = (to.delivered - from.delivered).min(paid);
    let mut figures = costs(&from, &to, done);
    for (name, peak) in memory {
        figures.set(format!("peak_rss_mb.{name}"), peak);
    }
    Ok(Sustained { per_second: float(done) / seconds, figures, next })
}

/// The latencies of [`steady`], under the names `{prefix}accept_p50_ms` and so on; what is sent in the first second does not
/// count. Beside them, as `{prefix}half_load_cpu_s_per_10k` and `{prefix}half_load_machine_busy`, what the rate costs.
pub(crate) async fn latencies(
    subject: &Subject,
    range: Range<usize>,
    per_second: f64,
    prefix: &str,
) -> Result<Figures> {
    let steady = steady(subject, range, per_second, Duration::from_secs(1)).await?;
    let mut figures = Figures::default();
    for (name, value) in steady.costs.iter() {
        if name.starts_with("cpu_s_per_10k") || name == "machine_busy" {
            figures.set(format!("{prefix}half_load_{name}"), value);
        }
    }
    for (name, value) in steady.latencies.iter() {
        figures.set(format!("{prefix}{name}"), value);
    }
    Ok(figures)
}

/// Puts the payments of the range on the pipeline at a fixed rate; what is sent in the first `warm` does not count. Latencies
/// are counted from when each payment was to be sent.
pub(crate) async fn steady(
    subject: &Subject,
    range: Range<usize>,
    per_second: f64,
    warm: Duration,
) -> Result<Steady> {
    let book = &subject.book;
    let callbacks = Callbacks::signed(&subject.maker, range.clone())?;
    let load = Load::start(subject.address, CONNECTIONS, callbacks, book, Pace::Open { per_second }).await?;
    let end = book.now() + Duration::from_secs_f64(float(range.len() as u64) / per_second);
    sleep(warm).await;
    let from = Moment::now(subject).await?;
    sleep(end.saturating_sub(book.now() + Duration::from_millis(100))).await;
    let to = Moment::now(subject).await?;
    load.finish().await?;
    subject.settle(SETTLE_LIMIT).await?;
    let seconds = to.at.saturating_sub(from.at).as_secs_f64();
    let delivered = to.delivered - from.delivered;
    let counted = (range.start + count(per_second, warm)).min(range.end)..range.end;
    let mut latencies = Figures::default();
    for (step, name) in [(Step::Accepted, "accept"), (Step::Delivered, "end_to_end")] {
        let sorted = book.latencies(counted.clone(), step);
        for (per_mille, p) in [(500, "p50"), (990, "p99"), (999, "p99_9")] {
            latencies.set(format!("{name}_{p}_ms"), millis(percentile(&sorted, per_mille)));
        }
    }
    Ok(Steady {
        accepted_per_s: float(to.accepted - from.accepted) / seconds,
        delivered_per_s: float(delivered) / seconds,
        costs: costs(&from, &to, delivered),
        latencies,
    })
}

impl Moment {
    async fn now(subject: &Subject) -> Result<Self> {
        let client = connect(&subject.database_url).await?;
        Ok(Self {
            wal: wal_bytes(&client).await?,
            cpu: cpu_seconds(&subject.groups)?,
            busy: machine_busy_seconds()?,
            at: subject.book.now(),
            accepted: subject.book.accepted(),
            delivered: subject.book.delivered(),
        })
    }
}

/// Waits for `duration` and looks every second at the memory; the most of each group in MB.
async fn peak_memory(subject: &Subject, duration: Duration) -> Result<BTreeMap<&'static str, f64>> {
    let mut peaks = BTreeMap::new();
    let deadline = subject.book.now() + duration;
    while subject.book.now() < deadline {
        sleep(deadline.saturating_sub(subject.book.now()).min(Duration::from_secs(1))).await;
        for group in &subject.groups {
            let peak = peaks.entry(group.name).or_insert(0.0_f64);
            *peak = peak.max(peak_rss_mb(group)?);
        }
    }
    Ok(peaks)
}

/// Webhooks cannot fall behind, for the loop is closed over them; the orders must not either.
fn check_backlog(from: &Moment, to: &Moment, paid_before: u64, paid: u64) -> Result<()> {
    let waiting = |accepted: u64, paid: u64| float(accepted) - float(paid);
    let growth = waiting(to.accepted, paid_before + paid) - waiting(from.accepted, paid_before);
    let allowed = (float(paid) * MAX_GROWTH).max(float(IN_FLIGHT as u64));
    ensure!(growth <= allowed, "the orders that wait for their payment grew by {growth}, {paid} were paid");
    Ok(())
}

fn costs(from: &Moment, to: &Moment, done: u64) -> Figures {
    let mut figures = Figures::default();
    let ten_thousands = float(done) / 10_000.0;
    let (mut sum, mut generator) = (0.0, 0.0);
    for (name, seconds) in &to.cpu {
        let cost = (seconds - from.cpu.get(name).copied().unwrap_or_default()) / ten_thousands;
        figures.set(format!("cpu_s_per_10k.{name}"), cost);
        if *name == "load-generator" { generator += cost } else { sum += cost }
    }
    figures.set("cpu_s_per_10k_without_generator", sum);
    figures.set("cpu_s_per_10k_in_all", sum + generator);
    // What the same costs would allow on cores that nobody else uses: comparable also between disturbed runs.
    figures.set("cpu_bound_per_s", cores() * 10_000.0 / (sum + generator));
    figures.set("wal_bytes_per_payment", (to.wal - from.wal) / float(done));
    let seconds = to.at.saturating_sub(from.at).as_secs_f64();
    let busy = to.busy - from.busy;
    figures.set("machine_busy", busy / (seconds * cores()));
    figures.set("foreign_busy", (busy - (sum + generator) * ten_thousands) / (seconds * cores()));
    figures
}
