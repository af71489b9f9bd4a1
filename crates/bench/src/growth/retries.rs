//! A million notifications that wait for another attempt, half of them due at a merchant who refuses all: how much new ones
//! are slowed.

use anyhow::Result;

use super::bulk::{self, Waiting};
use super::{live, payments};
use crate::figures::Figures;
use crate::machine::{Machine, connect};
use crate::output::progress;
use crate::payrelay;
use crate::plan::Plan;
use crate::seed;

const WAITING: usize = 1_000_000;

pub(super) async fn measure(machine: &Machine, plan: &Plan) -> Result<Figures> {
    let mut figures = Figures::default();
    let pipeline = payrelay::whole(machine, 1, 2 * payments(plan)).await?;
    progress("retries: the rate without any");
    let (before, next) = live(&pipeline, 0, plan).await?;
    figures.set("retries_none_per_s", before);
    progress("retries: a million notifications that wait");
    let client = connect(&pipeline.subject.database_url).await?;
    for (merchant_id, prefix, due_after) in [("bench-failing", "F", "0"), ("bench-later", "L", "2 hours")] {
        pipeline.add_merchant(merchant_id, &pipeline.merchants.failing_url()).await?;
        let waiting = Waiting { merchant_id, prefix, count: WAITING / 2, due_after };
        bulk::waiting_notifications(&client, waiting).await?;
    }
    seed::settle(&client, &["notify.notifications"]).await?;
    let (beside, _) = live(&pipeline, next, plan).await?;
    figures.set("retries_1m_waiting_per_s", beside);
    pipeline.verify(machine).await?;
    pipeline.stop(machine).await?;
    Ok(figures)
}
