//! Throughput with five million payments stored, against that of empty tables.

use anyhow::Result;

use super::{bulk, empty, live, payments};
use crate::figures::Figures;
use crate::machine::{Machine, connect};
use crate::output::progress;
use crate::payrelay;
use crate::plan::Plan;
use crate::seed;

const STORED: usize = 5_000_000;
const CHUNK: usize = 500_000;

pub(super) async fn measure(machine: &Machine, plan: &Plan) -> Result<Figures> {
    let mut figures = Figures::default();
    progress("growth: empty tables");
    figures.set("growth_empty_per_s", empty(machine, 1, plan).await?);
    let pipeline = payrelay::whole(machine, 1, payments(plan)).await?;
    let client = connect(&pipeline.subject.database_url).await?;
    for first in (0..STORED).step_by(CHUNK) {
        progress(format!("growth: {first} of {STORED} payments stored"));
        bulk::finished_payments(&client, first..first + CHUNK).await?;
    }
    let tables = ["pay.pay_orders", "orders.orders", "orders.sub_orders", "notify.notifications"];
    seed::settle(&client, &tables).await?;
    progress("growth: five million payments stored");
    let (stored, _) = live(&pipeline, 0, plan).await?;
    figures.set("growth_stored_5m_per_s", stored);
    pipeline.verify(machine).await?;
    pipeline.stop(machine).await?;
    Ok(figures)
}
