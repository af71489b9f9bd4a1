//! payrelay measured: acceptance with the broker up and down, payments end to end, latencies at half load.

use anyhow::Result;

use crate::figures::Figures;
use crate::machine::{Machine, connect};
use crate::measure;
use crate::output::progress;
use crate::pipeline::Pipeline;
use crate::plan::{MOST_END_TO_END_PER_S, Plan, Span, count};
use crate::process::Programs;
use crate::profile;

/// More than any of these machines accepts in a second; so many pay orders are made for each second of load.
const MOST_ACCEPTED_PER_S: f64 = 50_000.0;
const NAME: &str = "payrelay";

/// One round of everything.
pub(crate) async fn round(machine: &Machine, plan: &Plan) -> Result<Figures> {
    let mut figures = acceptance(machine, plan.accept).await?;
    let sustained = count(MOST_END_TO_END_PER_S, plan.sustained.warm + plan.sustained.measured);
    let left = count(MOST_END_TO_END_PER_S / 2.0, plan.half_load);
    let pipeline = whole(machine, 1, sustained + left).await?;
    progress("payrelay: end to end");
    let client = connect(&pipeline.subject.database_url).await?;
    if machine.profiled {
        profile::begin(&client).await?;
    }
    let full = measure::sustained(&pipeline.subject, 0..sustained, plan.sustained).await?;
    if machine.profiled {
        profile::print(&client, pipeline.subject.book.accepted()).await?;
    }
    figures.set("end_to_end_per_s", full.per_second);
    figures.extend(full.figures);
    progress("payrelay: latencies at half load");
    let rate = full.per_second / 2.0;
    let range = full.next..full.next + count(rate, plan.half_load);
    if machine.profiled {
        profile::begin(&client).await?;
    }
    figures.extend(measure::latencies(&pipeline.subject, range.clone(), rate, "").await?);
    if machine.profiled {
        profile::print(&client, range.len() as u64).await?;
    }
    pipeline.verify(machine).await?;
    pipeline.stop(machine).await?;
    Ok(figures)
}

/// The whole pipeline with `replicas` of each consumer.
pub(crate) async fn whole(machine: &Machine, replicas: usize, payments: usize) -> Result<Pipeline> {
    progress(format!("payrelay: starting, {replicas} of each consumer"));
    let services = [("ingress", 1), ("order-service", replicas), ("merchant-notifier", replicas)];
    Pipeline::start(machine, &Programs::own()?, NAME, &services, payments).await
}

/// Callbacks accepted per second while no consumer runs, with the broker up and with it frozen. Everything that was
/// accepted must be published in the end.
async fn acceptance(machine: &Machine, span: Span) -> Result<Figures> {
    progress("payrelay: acceptance with the broker up");
    let each = count(MOST_ACCEPTED_PER_S, span.warm + span.measured);
    let pipeline = Pipeline::start(machine, &Programs::own()?, NAME, &[("ingress", 1)], 2 * each).await?;
    let subject = &pipeline.subject;
    let mut figures = Figures::default();
    let (up, next) = measure::accepted_per_second(subject, 0..each, span).await?;
    figures.set("accept_per_s", up);
    progress("payrelay: acceptance with the broker frozen");
    machine.freeze_broker()?;
    let down = measure::accepted_per_second(subject, next..next + each, span).await;
    machine.thaw_broker()?;
    figures.set("accept_broker_down_per_s", down?.0);
    pipeline.verify_accepted(machine).await?;
    pipeline.stop(machine).await?;
    Ok(figures)
}
