//! An audit for people.

use admin_api::trial_balance::{self, TrialBalance};

use super::{Audit, AuditFinding, rfc3339};
use crate::output;

/// The longest table of findings.
const SHOWN: usize = 100;
/// The longest explanation in it, in characters.
const WHY: usize = 160;

/// Prints the sums, the findings and the verdict.
pub(super) fn print(audit: &Audit) -> anyhow::Result<()> {
    let header = ["TYPE", "COMMITTED", "PUBLISHED", "APPLIED", "NOTIFIED", "PENDING", "PARKED", "UPSTREAM"];
    let rows = audit.rows.iter().map(|row| {
        let counts =
            [row.committed, row.published, row.applied, row.notified, row.pending, row.parked, row.upstream];
        let [committed, published, applied, notified, pending, parked, upstream] =
            counts.map(|count| count.to_string());
        [row.event_type.to_string(), committed, published, applied, notified, pending, parked, upstream]
    });
    output::table(header, rows)?;
    if !audit.findings.is_empty() {
        let header = ["MINUTE", "TYPE", "ORDER", "PAY ORDER", "STAGE", "SERVICE", "WHY"];
        output::line("")?;
        output::table(header, audit.findings.iter().take(SHOWN).map(cells))?;
    }
    if audit.more || audit.findings.len() > SHOWN {
        let (named, more) = (audit.findings.len(), if audit.more { "at least " } else { "" });
        output::line(format!("… and {more}{} more; --json names {named}", named.saturating_sub(SHOWN)))?;
    }
    if audit.settling > 0 {
        output::line(format!("settling: {} of the youngest events are on their way", audit.settling))?;
    }
    match &audit.ledger_unchecked {
        Some(why) if audit.ledger.findings.is_empty() => output::line(format!("ledger: NOT checked, {why}"))?,
        _ => print_ledger(&audit.ledger)?,
    }
    let verdict = if audit.open() == 0 { "complete" } else { "NOT complete" };
    output::line(format!("audit: {verdict} from {} to {}", rfc3339(audit.from)?, rfc3339(audit.to)?))
}

fn print_ledger(ledger: &TrialBalance) -> anyhow::Result<()> {
    if ledger.findings.is_empty() {
        let sums = ledger.currencies.iter().map(|of| format!("{} entries of {}", of.entries, of.currency));
        let sums: Vec<_> = sums.collect();
        let sums = if sums.is_empty() { "empty".to_owned() } else { sums.join(", ") };
        return output::line(format!("ledger: balanced, {sums}"));
    }
    let header = ["LEDGER", "OF", "CURRENCY", "EXPECTED", "FOUND"];
    output::line("")?;
    output::table(header, ledger.findings.iter().take(SHOWN).map(ledger_cells))?;
    output::line(format!("ledger: NOT balanced, {} findings", ledger.findings.len()))
}

fn ledger_cells(finding: &trial_balance::LedgerFinding) -> [String; 5] {
    [
        finding.kind.as_str().to_owned(),
        finding.subject.clone(),
        finding.currency.clone().unwrap_or_else(|| "-".to_owned()),
        finding.expected_minor.to_string(),
        finding.found_minor.to_string(),
    ]
}

fn cells(finding: &AuditFinding) -> [String; 7] {
    let at = finding.occurred_at;
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    [
        format!("{} {:02}:{:02}", at.date(), at.hour(), at.minute()),
        finding.event_type.map_or_else(|| "-".to_owned(), |event_type| event_type.to_string()),
        or_none(&finding.order_no),
        or_none(&finding.pay_order_no),
        finding.stage.name().to_owned(),
        finding.service.to_owned(),
        finding.why.chars().take(WHY).collect(),
    ]
}
