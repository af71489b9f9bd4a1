//! What remains of the speed when the system has grown: stored payments, backlogs, waiting retries, replicas, a merchant that
//! hangs, and time.

mod backlog;
mod bulk;
mod fair_share;
mod replicas;
mod retries;
pub(crate) mod soak;
mod stored;

use anyhow::{Context, Result};

use crate::figures::Figures;
use crate::machine::Machine;
use crate::measure;
use crate::payrelay;
use crate::pipeline::Pipeline;
use crate::plan::{MOST_END_TO_END_PER_S, Part, Plan, count};

/// Measures one part.
pub(crate) async fn measure(machine: &Machine, part: Part, plan: &Plan) -> Result<Figures> {
    match part {
        Part::GrowthStored => stored::measure(machine, plan).await.context("growth by stored payments"),
        Part::Backlog => backlog::measure(machine, plan).await.context("growth by a backlog"),
        Part::Retries => retries::measure(machine, plan).await.context("growth by waiting retries"),
        Part::Replicas => replicas::measure(machine, plan).await.context("growth by replicas"),
        Part::FairShare => fair_share::measure(machine).await.context("fair share"),
        Part::Limits | Part::Textbook | Part::Payrelay => Ok(Figures::default()),
    }
}

/// Payments per second of a pipeline that has payments from `first` on left; the first payment that is left then.
async fn live(pipeline: &Pipeline, first: usize, plan: &Plan) -> Result<(f64, usize)> {
    let range = first..(first + payments(plan)).min(pipeline.subject.book.len());
    let sustained = measure::sustained(&pipeline.subject, range, plan.sustained).await?;
    Ok((sustained.per_second, sustained.next))
}

/// Payments enough for one [`live`].
fn payments(plan: &Plan) -> usize {
    count(MOST_END_TO_END_PER_S, plan.sustained.warm + plan.sustained.measured)
}

/// Payments per second of a pipeline with empty tables, with `replicas` of each consumer.
async fn empty(machine: &Machine, replicas: usize, plan: &Plan) -> Result<f64> {
    let pipeline = payrelay::whole(machine, replicas, payments(plan)).await?;
    let (per_second, _) = live(&pipeline, 0, plan).await?;
    pipeline.verify(machine).await?;
    pipeline.stop(machine).await?;
    Ok(per_second)
}
