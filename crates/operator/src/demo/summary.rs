//! What the demo prints at its end, and whether that is good.

use std::{collections::HashMap, time::Duration};

use serde_json::json;

use super::{EXPECTED_PARKED, checker::Findings, drive::Payment, plan::Kind};
use crate::{
    failure::{CommandResult, Failure},
    output,
};

/// What the demo found besides the comparison.
pub(super) struct Summary {
    pub(super) findings: Findings,
    pub(super) payments: Vec<Payment>,
    pub(super) parked: HashMap<String, usize>,
    pub(super) contradictions: usize,
    pub(super) audit_gaps: usize,
    pub(super) refused_while_down: u64,
    pub(super) repeated_webhooks: u64,
    pub(super) forged_webhooks: u64,
    pub(super) took: Duration,
}

impl Summary {
    /// Prints the table, or JSON, and in either case the line that sums it all up.
    pub(super) fn print(&self, json: bool) -> anyhow::Result<()> {
        let Findings { paid, applied, notified, duplicates, lost, doubled } = &self.findings;
        let parked: usize = self.parked.values().sum();
        if json {
            output::json(&json!({
                "paid": paid, "applied": applied, "notified": notified, "duplicates": duplicates, "parked": self.parked,
                "contradictions": self.contradictions, "audit_gaps": self.audit_gaps, "lost": lost, "doubled": doubled,
                "seconds": self.took.as_secs_f64(),
            }))?;
        } else {
            self.print_table()?;
        }
        output::line(format!(
            "demo: {paid} paid, {applied} applied, {notified} notified, {duplicates} absorbed, {parked} parked, {} lost, {} doubled",
            lost.len(),
            doubled.len()
        ))
    }

    fn print_table(&self) -> anyhow::Result<()> {
        let of_kind = |kind| self.payments.iter().filter(|payment| payment.plan.kind == kind).count();
        let parked = |reason: &str| self.parked.get(reason).copied().unwrap_or_default();
        let rows = [
            ("payments made", self.payments.len()),
            ("with a callback repeated", of_kind(Kind::Repeated)),
            ("with a refund before its success", of_kind(Kind::RefundFirst)),
            ("with a failure after its success", of_kind(Kind::LateFailure)),
            ("with a forged callback (refused)", of_kind(Kind::Forged)),
            ("with another amount (contradictions recorded)", self.contradictions),
            ("of an order that nobody knows (parked)", parked("attempts_exhausted")),
            ("undecodable messages parked, once by each consumer", parked("undecodable")),
            ("restarts of RabbitMQ", 1),
            ("webhooks refused while a merchant was down", usize::try_from(self.refused_while_down)?),
            ("webhooks repeated under the same webhook-id", usize::try_from(self.repeated_webhooks)?),
            ("webhooks that did not verify", usize::try_from(self.forged_webhooks)?),
            ("gaps that the audit found", self.audit_gaps),
        ];
        let took = [
            "seconds from the first payment to the last check".to_owned(),
            format!("{:.1}", self.took.as_secs_f64()),
        ];
        output::table(
            ["WHAT", "COUNT"],
            rows.map(|(what, count)| [what.to_owned(), count.to_string()]).into_iter().chain([took]),
        )?;
        for (kind, findings) in [("lost", &self.findings.lost), ("doubled", &self.findings.doubled)] {
            for (order_no, why) in findings.iter().take(20) {
                output::line(format!("{kind}: {order_no}: {why}"))?;
            }
        }
        output::line("")
    }

    /// Whether everything is as it must be.
    pub(super) fn verdict(&self) -> CommandResult {
        let Findings { lost, doubled, .. } = &self.findings;
        let parked: usize = self.parked.values().sum();
        let refused = self.payments.iter().filter(|payment| payment.plan.kind == Kind::WrongAmount).count();
        let good = lost.is_empty()
            && doubled.is_empty()
            && parked == EXPECTED_PARKED
            && self.contradictions == refused
            && self.forged_webhooks == 0
            && self.audit_gaps == 0;
        if good {
            Ok(())
        } else {
            Err(Failure::Findings("demo: something is not as it must be, see above".to_owned()))
        }
    }
}
