//! One, two and four replicas of each consumer on the same cores: more must cost little.

use anyhow::Result;

use super::empty;
use crate::figures::Figures;
use crate::machine::Machine;
use crate::plan::Plan;

/// In rounds, for a machine is not as fast at one moment as at another.
pub(super) async fn measure(machine: &Machine, plan: &Plan) -> Result<Figures> {
    let mut rounds = Vec::with_capacity(plan.rounds);
    for _ in 0..plan.rounds {
        let mut figures = Figures::default();
        for replicas in [1, 2, 4] {
            figures.set(format!("replicas_{replicas}_per_s"), empty(machine, replicas, plan).await?);
        }
        rounds.push(figures);
    }
    Ok(Figures::medians(&rounds))
}
