//! Whether a webhook that came before one of a lower version might do so.

use anyhow::{Context, Result};
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::checker::Overtaking;
use crate::faults::Happened;
use crate::world::World;

/// From the beginning of the transaction that makes a notification known to its end, and from a claim to its attempt, while
/// nothing holds a notifier up.
const SLACK: Duration = Duration::seconds(5);

/// What became of the order of versions.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// Broken promises: the notifier knew of the lower version, had not delivered it, and sent the higher.
    pub(crate) reordered: Vec<Overtaking>,
    /// The lower version became known only after the higher had been sent, as it may between two queues.
    pub(crate) overtaken: usize,
    /// It became known at about the time when the higher was claimed: it cannot be told which came first.
    pub(crate) undecided: usize,
}

/// Asks the trace of every order that is in question.
pub(crate) async fn judge(world: &World, overtakings: &[Overtaking], faults: &[Happened]) -> Result<Order> {
    let mut order = Order::default();
    for overtaking in overtakings {
        let trace = world.payrelay_json(&["trace", &overtaking.order_no]).await?;
        let known = known_at(&trace, overtaking.lower_version).context("the notification of a webhook")?;
        let was_held_up = faults.iter().any(|fault| {
            fault.holds_up_a_notifier() && fault.from <= overtaking.at && fault.to + SLACK >= known
        });
        if known > overtaking.at {
            order.overtaken += 1;
        } else if known + SLACK > overtaking.at || was_held_up {
            order.undecided += 1;
        } else {
            order.reordered.push(overtaking.clone());
        }
    }
    Ok(order)
}

/// When the notifier came to know of a version, by its trace.
fn known_at(trace: &Value, version: i64) -> Option<OffsetDateTime> {
    let mut steps = trace["steps"].as_array()?.iter();
    let step =
        steps.find(|step| step["step"] == "notification_created" && step["detail"]["version"] == version)?;
    OffsetDateTime::parse(step["at"].as_str()?, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn the_trace_says_when_a_version_became_known() {
        let step = |at: &str, step: &str, version: i64| json!({"at": at, "step": step, "detail": {"version": version}});
        let trace = json!({"steps": [
            step("2026-01-01T00:00:00Z", "event_committed", 3),
            step("2026-01-01T00:00:01Z", "notification_created", 2),
            step("2026-01-01T00:00:02Z", "notification_created", 3),
        ]});
        assert_eq!(known_at(&trace, 3), Some(datetime!(2026-01-01 00:00:02 UTC)));
        assert_eq!(known_at(&trace, 4), None);
    }
}
