//! A million events that gathered in the outbox while the broker was away: how fast they drain, and what memory that takes.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{bulk, live, payments};
use crate::figures::Figures;
use crate::machine::{Machine, connect};
use crate::output::progress;
use crate::payrelay;
use crate::plan::Plan;
use crate::process::until;
use crate::procfs::peak_rss_mb;
use crate::seed;
use crate::stats::float;

const EVENTS: usize = 1_000_000;
const CHUNK: usize = 10_000;
/// For services that noticed the outage to come back.
const RETURN_LIMIT: Duration = Duration::from_secs(120);
const DRAIN_LIMIT: Duration = Duration::from_secs(3600);

pub(super) async fn measure(machine: &Machine, plan: &Plan) -> Result<Figures> {
    let mut figures = Figures::default();
    let pipeline = payrelay::whole(machine, 1, payments(plan) + EVENTS).await?;
    progress("backlog: the live rate");
    let (live, next) = live(&pipeline, 0, plan).await?;
    figures.set("backlog_live_per_s", live);

    machine.freeze_broker()?;
    let gathered = gather(&pipeline, next).await;
    machine.thaw_broker()?;
    gathered?;
    progress("backlog: draining");
    let book = &pipeline.subject.book;
    let before = book.delivered();
    until("webhook after the outage", RETURN_LIMIT, async || {
        Ok(if book.delivered() > before { Ok(()) } else { Err("none".to_owned()) })
    })
    .await?;
    let started = Instant::now();
    pipeline.subject.settle(DRAIN_LIMIT).await?;
    figures.set("backlog_drain_per_s", float(EVENTS as u64) / started.elapsed().as_secs_f64());
    for group in &pipeline.subject.groups {
        figures.set(format!("backlog_peak_rss_mb.{}", group.name), peak_rss_mb(group)?);
    }
    pipeline.verify(machine).await?;
    pipeline.stop(machine).await?;
    Ok(figures)
}

/// Writes what the ingress would have written, had it accepted all these callbacks.
async fn gather(pipeline: &crate::pipeline::Pipeline, first: usize) -> Result<()> {
    let client = connect(&pipeline.subject.database_url).await?;
    let end = first + EVENTS;
    for from in (first..end).step_by(CHUNK) {
        if (from - first).is_multiple_of(100_000) {
            progress(format!("backlog: {} of {EVENTS} events gathered", from - first));
        }
        let range = from..(from + CHUNK).min(end);
        bulk::accepted_payments(&client, range.clone()).await?;
        range.for_each(|index| pipeline.subject.book.accept(index));
    }
    seed::settle(&client, &["pay.pay_orders", "pay.events", "pay.outbox_pending"]).await
}
