//! One merchant hangs on every request and has ten thousand notifications due: what the others notice of it.

use std::time::Duration;

use anyhow::Result;

use super::bulk::{self, Waiting};
use crate::figures::Figures;
use crate::machine::{Machine, connect};
use crate::measure::latencies;
use crate::output::progress;
use crate::payrelay;
use crate::plan::count;

const PER_SECOND: f64 = 1_000.0;
const DURATION: Duration = Duration::from_secs(30);
const DUE: usize = 10_000;

pub(super) async fn measure(machine: &Machine) -> Result<Figures> {
    let each = count(PER_SECOND, DURATION);
    let pipeline = payrelay::whole(machine, 1, 2 * each).await?;
    progress("fair share: merchants that answer, alone");
    let mut figures = latencies(&pipeline.subject, 0..each, PER_SECOND, "fair_share_alone_").await?;
    pipeline.add_merchant("bench-hanging", &pipeline.merchants.hanging_url()).await?;
    let client = connect(&pipeline.subject.database_url).await?;
    let waiting = Waiting { merchant_id: "bench-hanging", prefix: "H", count: DUE, due_after: "0" };
    bulk::waiting_notifications(&client, waiting).await?;
    progress("fair share: beside one that hangs");
    let beside = latencies(&pipeline.subject, each..2 * each, PER_SECOND, "fair_share_beside_").await?;
    figures.extend(beside);
    pipeline.verify(machine).await?;
    pipeline.stop(machine).await?;
    Ok(figures)
}
