//! What a run came to.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use crate::checker::{Finding, Verdict};
use crate::faults::Incidents;

/// All figures and findings of a run.
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) seconds: u64,
    pub(crate) orders: usize,
    pub(crate) webhooks: usize,
    pub(crate) verdict: Verdict,
    pub(crate) incidents: Incidents,
    /// Webhooks that overtook a lower version that was known.
    pub(crate) reordered: Vec<Finding>,
    /// Webhooks that came before a lower version was known, and those of which it cannot be told.
    pub(crate) overtaken: [usize; 2],
    /// The largest number of dead rows, by table.
    pub(crate) dead_rows: BTreeMap<String, i64>,
    /// What kept the drain from ending.
    pub(crate) undrained: Option<String>,
}

impl Report {
    /// Whether the promise was kept, and no service gave up by itself.
    pub(crate) fn is_good(&self) -> bool {
        self.undrained.is_none()
            && self.incidents.exits.is_empty()
            && self.findings().all(|(_, findings)| findings.is_empty())
    }

    /// All findings, by kind.
    pub(crate) fn findings(&self) -> impl Iterator<Item = (&'static str, &Vec<Finding>)> {
        let verdict = &self.verdict;
        [
            ("lost", &verdict.lost),
            ("doubled", &verdict.doubled),
            ("unexpected", &verdict.unexpected),
            ("reordered", &self.reordered),
        ]
        .into_iter()
    }

    /// The last line, from which a run is repeated.
    pub(crate) fn summary(&self) -> String {
        let verdict = &self.verdict;
        format!(
            "chaos: seed {}, {} acknowledged, {} lost, {} doubled, {} unexpected, {} recovered, {} unknown",
            self.seed,
            verdict.acknowledged,
            verdict.lost.len(),
            verdict.doubled.len(),
            verdict.unexpected.len(),
            verdict.recovered,
            verdict.unknown
        )
    }

    fn figures(&self) -> Vec<(&'static str, Value)> {
        let verdict = &self.verdict;
        vec![
            ("seed", self.seed.into()),
            ("seconds", self.seconds.into()),
            ("faults", self.incidents.faults.len().into()),
            ("orders", self.orders.into()),
            ("webhook attempts", self.webhooks.into()),
            ("acknowledged", verdict.acknowledged.into()),
            ("lost", verdict.lost.len().into()),
            ("doubled", verdict.doubled.len().into()),
            ("unexpected", verdict.unexpected.len().into()),
            ("recovered", verdict.recovered.into()),
            ("unknown", verdict.unknown.into()),
            ("refused", verdict.refused.into()),
            ("reordered", self.reordered.len().into()),
            ("overtaken before it was known", self.overtaken[0].into()),
            ("overtaken about when it was known", self.overtaken[1].into()),
            ("dead letters in several copies", verdict.repeated_dead_letters.into()),
            ("replicas that ended by themselves", self.incidents.exits.len().into()),
            ("most dead rows", json!(self.dead_rows)),
            ("audit and drain", self.undrained.as_deref().unwrap_or("clean").into()),
        ]
    }

    /// Prints figures and findings, and the summary as the last line; or all of it as one JSON document.
    pub(crate) fn print(&self, json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if json {
            let mut document: serde_json::Map<_, _> =
                self.figures().into_iter().map(|(name, value)| (name.replace(' ', "_"), value)).collect();
            let findings = self.findings().map(|(kind, findings)| {
                let list = findings
                    .iter()
                    .map(|finding| json!({"order_no": finding.order_no, "what": finding.what}));
                (kind.to_owned(), list.collect())
            });
            document.insert("findings".to_owned(), Value::Object(findings.collect()));
            document.insert("summary".to_owned(), self.summary().into());
            return writeln!(out, "{}", Value::Object(document));
        }
        for (name, value) in self.figures() {
            writeln!(out, "chaos: {name:<34}{value}")?;
        }
        for exit in &self.incidents.exits {
            writeln!(out, "chaos: {exit}")?;
        }
        for (kind, findings) in self.findings() {
            for finding in findings {
                writeln!(out, "chaos: {kind}: {}: {}", finding.order_no, finding.what)?;
            }
        }
        writeln!(out, "{}", self.summary())
    }
}
