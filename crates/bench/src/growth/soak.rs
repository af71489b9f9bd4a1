//! A moderate load for a long time: whether the queues in tables stay small.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{MissedTickBehavior, interval};
use tokio_postgres::Client;

use crate::book::Step;
use crate::figures::Figures;
use crate::load::{Callbacks, Load, Pace};
use crate::machine::{Machine, connect};
use crate::output::progress;
use crate::payrelay;
use crate::plan::count;
use crate::procfs::peak_rss_mb;
use crate::stats::{float, millis, percentile, slope};

const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);
const CONNECTIONS: usize = 256;
const SETTLE_LIMIT: Duration = Duration::from_secs(300);
/// The queues in tables, and what figures call them.
const TABLES: [(&str, &str); 2] =
    [("outbox", "pay.outbox_pending"), ("notifications", "notify.notifications")];
const SAMPLE: &str = "
    SELECT n_dead_tup, pg_total_relation_size(relid)::bigint FROM pg_stat_user_tables WHERE relid = $1::text::regclass";

/// Seconds since the start, dead rows, bytes with all indexes.
type Sample = (f64, f64, f64);

/// Loads for `duration` at a fixed rate, and looks at the tables every ten seconds.
pub(crate) async fn measure(machine: &Machine, duration: Duration, per_second: f64) -> Result<Figures> {
    let payments = count(per_second, duration);
    let pipeline = payrelay::whole(machine, 1, payments).await?;
    let subject = &pipeline.subject;
    let client = connect(&subject.database_url).await?;
    let callbacks = Callbacks::unsigned(&subject.maker, 0..payments);
    let pace = Pace::Open { per_second };
    let load = Load::start(subject.address, CONNECTIONS, callbacks, &subject.book, pace).await?;
    let started = subject.book.now();
    let mut samples: [Vec<Sample>; TABLES.len()] = Default::default();
    let mut ticks = interval(SAMPLE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while subject.book.now() < started + duration {
        ticks.tick().await;
        let at = subject.book.now().saturating_sub(started).as_secs_f64();
        for ((name, table), samples) in TABLES.iter().zip(&mut samples) {
            let (dead, bytes) = sample(&client, table).await?;
            progress(format!("soak: {name}: {dead:.0} dead rows, {:.1} MB", bytes / 1e6));
            samples.push((at, dead, bytes));
        }
    }
    load.finish().await?;
    subject.settle(SETTLE_LIMIT).await?;
    let mut figures = Figures::default();
    for ((name, _), samples) in TABLES.iter().zip(&samples) {
        summarise(name, samples, &mut figures);
    }
    let latencies = subject.book.latencies(0..payments, Step::Delivered);
    figures.set("soak.end_to_end_p99_ms", millis(percentile(&latencies, 990)));
    figures.set("soak.payments", float(payments as u64));
    for group in &subject.groups {
        figures.set(format!("soak_peak_rss_mb.{}", group.name), peak_rss_mb(group)?);
    }
    pipeline.verify(machine).await?;
    pipeline.stop(machine).await?;
    Ok(figures)
}

async fn sample(client: &Client, table: &str) -> Result<(f64, f64)> {
    let row = client.query_opt(SAMPLE, &[&table]).await?.with_context(|| table.to_owned())?;
    let number = |column: usize| -> Result<f64> {
        Ok(float(u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or_default()))
    };
    Ok((number(0)?, number(1)?))
}

/// The slopes leave the first third out, in which the tables take their size.
fn summarise(name: &str, samples: &[Sample], figures: &mut Figures) {
    let later = samples.get(samples.len() / 3..).unwrap_or_default();
    let most = |value: fn(&Sample) -> f64| samples.iter().map(value).fold(0.0, f64::max);
    let per_hour = |value: fn(&Sample) -> f64| {
        let points: Vec<_> = later.iter().map(|sample| (sample.0 / 3600.0, value(sample))).collect();
        slope(&points)
    };
    figures.set(format!("soak.{name}_dead_rows_max"), most(|sample| sample.1));
    figures.set(format!("soak.{name}_dead_rows_per_hour"), per_hour(|sample| sample.1));
    figures.set(format!("soak.{name}_mb_max"), most(|sample| sample.2) / 1e6);
    figures.set(format!("soak.{name}_mb_per_hour"), per_hour(|sample| sample.2) / 1e6);
}
