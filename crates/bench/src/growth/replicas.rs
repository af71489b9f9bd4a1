//! One, two and four replicas of each consumer on the same cores: more must not be slower.

use anyhow::Result;

use super::empty;
use crate::figures::Figures;
use crate::machine::Machine;
use crate::plan::Plan;

pub(super) async fn measure(machine: &Machine, plan: &Plan) -> Result<Figures> {
    let mut figures = Figures::default();
    for replicas in [1, 2, 4] {
        figures.set(format!("replicas_{replicas}_per_s"), empty(machine, replicas, plan).await?);
    }
    Ok(figures)
}
