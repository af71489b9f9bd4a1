//! What is shown of the figures: a table for people with the targets, and JSON for machines.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use serde_json::{Map, Value, json};

use crate::figures::Figures;
use crate::machine::cores;
use crate::output::line;
use crate::stats::median;

/// All that was measured in one run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rounds: Vec<Figures>,
    growth: Figures,
    /// What the services were set to beside what they need.
    settings: Vec<(String, String)>,
}

/// A figure that must reach a bound.
#[derive(Debug, PartialEq)]
struct Target {
    name: String,
    value: f64,
    /// What each round has, of which the value is the median or the best; none where there are no rounds of it.
    rounds: Vec<f64>,
    bound: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// The services, whose memory is bounded.
const SERVICES: [&str; 3] = ["ingress", "order-service", "merchant-notifier"];

/// The slowest hundredth of the webhooks at half load, in milliseconds, in the best round.
const MOST_P99_MS: f64 = 60.0;
const P99: &str = "end_to_end_p99_ms";

/// Ratios: what is divided, by what, and the bound. Replicas of the consumers share the cores of one, so they are only bounded
/// in what they may cost.
const RATIOS: [(&str, &str, &str, Bound); 9] = [
    ("end to end / textbook", "end_to_end_per_s", "textbook_end_to_end_per_s", Bound::AtLeast(4.0)),
    ("end to end / composite limit", "end_to_end_per_s", "composite_limit_per_s", Bound::AtLeast(0.6)),
    ("acceptance / its composite limit", "accept_per_s", "accept_limit_per_s", Bound::AtLeast(0.8)),
    ("5 million stored / empty", "growth_stored_5m_per_s", "growth_empty_per_s", Bound::AtLeast(0.8)),
    ("drain of 1 million events / live", "backlog_drain_per_s", "backlog_live_per_s", Bound::AtLeast(0.8)),
    (
        "1 million retries waiting / none",
        "retries_1m_waiting_per_s",
        "retries_none_per_s",
        Bound::AtLeast(0.8),
    ),
    ("2 replicas / 1", "replicas_2_per_s", "replicas_1_per_s", Bound::AtLeast(0.85)),
    ("4 replicas / 1", "replicas_4_per_s", "replicas_1_per_s", Bound::AtLeast(0.85)),
    (
        "p99 beside a hanging merchant / alone",
        "fair_share_beside_end_to_end_p99_ms",
        "fair_share_alone_end_to_end_p99_ms",
        Bound::AtMost(2.0),
    ),
];

impl Report {
    /// A report on services with these settings beside the defaults of production.
    pub(crate) fn new(settings: Vec<(String, String)>) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Notes a round of limits, textbook and payrelay.
    pub(crate) fn round(&mut self, figures: Figures) {
        self.rounds.push(figures);
    }

    /// Notes figures that are measured once.
    pub(crate) fn growth(&mut self, figures: Figures) {
        self.growth.extend(figures);
    }

    fn figures(&self) -> Figures {
        let mut figures = Figures::medians(&self.rounds);
        figures.extend(self.growth.clone());
        figures
    }

    /// Prints the table.
    pub(crate) fn print(&self) -> Result<()> {
        let figures = self.figures();
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["FIGURE", "MEDIAN", "ROUNDS"]);
        for (name, value) in figures.iter() {
            let rounds: Vec<_> = self.rounds.iter().filter_map(|round| round.get(name)).collect();
            table.add_row([name.to_owned(), rounded(value), row_of(&rounds)]);
        }
        line(table.trim_fmt())?;
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["TARGET", "IS", "BOUND", "", "ROUNDS"]);
        for target in targets(&figures, &self.rounds) {
            table.add_row([
                target.name.clone(),
                format!("{:.2}", target.value),
                target.bound.to_string(),
                if target.is_met() { "met" } else { "MISSED" }.to_owned(),
                row_of(&target.rounds),
            ]);
        }
        line(format!("\n{}", table.trim_fmt()))
    }

    /// Writes everything to a file.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let figures = self.figures();
        let mut object = figures.to_json();
        object.insert("cores".to_owned(), json!(cores()));
        object.insert("conditions".to_owned(), conditions());
        let settings = self.settings.iter().map(|(name, value)| (name.clone(), json!(value)));
        object.insert("settings".to_owned(), Value::Object(settings.collect()));
        let rounds: Vec<Map<String, Value>> = self.rounds.iter().map(Figures::to_json).collect();
        object.insert("rounds".to_owned(), json!(rounds));
        let targets: Vec<Value> = targets(&figures, &self.rounds)
            .iter()
            .map(|target| {
                json!({"target": target.name, "is": target.value, "rounds": target.rounds, "bound": target.bound.to_string(), "met": target.is_met()})
            })
            .collect();
        object.insert("targets".to_owned(), json!(targets));
        let text = serde_json::to_string_pretty(&Value::Object(object))?;
        fs::write(file, text + "\n").with_context(|| file.display().to_string())
    }
}

/// What the figures cannot say by themselves.
fn conditions() -> Value {
    json!({
        "servers": "one PostgreSQL and one RabbitMQ, fsync on, quorum queues, persistent messages, confirms; all on the same cores",
        "load": "one process, which is also the merchants; its CPU is told apart as load-generator",
        "acceptance": "no consumer runs; every event is published, at the latest when the broker is back",
        "broker_down": "frozen by SIGSTOP",
        "end_to_end": format!("at most {} payments accepted and not yet told", crate::measure::IN_FLIGHT),
        "textbook": "one channel for all requests, 16 messages of each queue side by side",
        "cpu_bound_per_s": "cores divided by the CPU of one payment, the load generator's included",
        "foreign_busy": "the part of the cores that others used meanwhile; above 0.05 the run was disturbed",
        "peak_rss_mb": "services: VmHWM; PostgreSQL and RabbitMQ: private memory of all processes and the shared once",
    })
}

/// Ratios are those within a round, for the machine may be twice as fast in the next. Of the latency the best round counts: a
/// pause of the servers, which falls into some rounds and not into others, is many times what payrelay adds.
fn targets(figures: &Figures, rounds: &[Figures]) -> Vec<Target> {
    let target =
        |name: &str, value: f64, bound| Target { name: name.to_owned(), value, rounds: Vec::new(), bound };
    let mut targets: Vec<_> = RATIOS
        .iter()
        .filter_map(|(name, of, to, bound)| {
            let rounds: Vec<_> = rounds.iter().filter_map(|round| round.ratio(of, to)).collect();
            let value = median(&rounds).or_else(|| figures.ratio(of, to))?;
            Some(Target { rounds, ..target(name, value, *bound) })
        })
        .collect();
    let p99: Vec<_> = rounds.iter().filter_map(|round| round.get(P99)).collect();
    let best = p99.iter().copied().min_by(f64::total_cmp);
    targets.extend(best.map(|best| {
        let name = "end to end p99 at half load, best round, ms";
        Target { rounds: p99, ..target(name, best, Bound::AtMost(MOST_P99_MS)) }
    }));
    for (group, load, bound) in
        [("peak_rss_mb", "at full load", 100.0), ("backlog_peak_rss_mb", "draining a backlog", 150.0)]
    {
        for (service, peak) in figures.group(group).filter(|(name, _)| SERVICES.contains(name)) {
            targets.push(target(&format!("memory of {service} {load}, MB"), peak, Bound::AtMost(bound)));
        }
    }
    targets
}

impl Target {
    fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtLeast(bound) => self.value >= bound,
            Bound::AtMost(bound) => self.value <= bound,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, ">= {bound}"),
            Self::AtMost(bound) => write!(f, "<= {bound}"),
        }
    }
}

/// What was found round by round, if there was more than one.
fn row_of(rounds: &[f64]) -> String {
    match rounds {
        [] | [_] => String::new(),
        rounds => rounds.iter().copied().map(rounded).collect::<Vec<_>>().join(" "),
    }
}

/// As many decimals as the size of the number is worth.
fn rounded(value: f64) -> String {
    let decimals = if value.abs() >= 100.0 { 0 } else { 2 };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_judged_where_there_are_figures() {
        let mut figures = Figures::default();
        assert_eq!(targets(&figures, &[]), []);
        figures.set("end_to_end_per_s", 4_500.0);
        figures.set("textbook_end_to_end_per_s", 1_000.0);
        figures.set("peak_rss_mb.ingress", 40.0);
        figures.set("peak_rss_mb.postgresql", 400.0);
        let met: Vec<_> =
            targets(&figures, &[]).iter().map(|target| (target.value, target.is_met())).collect();
        assert_eq!(met, [(4.5, true), (40.0, true)]);
    }

    #[test]
    fn acceptance_is_judged_by_its_own_limit_and_not_by_the_textbook() {
        let mut figures = Figures::default();
        for (name, value) in
            [("accept_per_s", 9_000.0), ("accept_limit_per_s", 10_000.0), ("textbook_accept_per_s", 9_000.0)]
        {
            figures.set(name, value);
        }
        assert_eq!(judged(&figures, &[]), [("acceptance / its composite limit".to_owned(), 0.9, true)]);
        figures.set("accept_per_s", 7_900.0);
        assert_eq!(judged(&figures, &[]), [("acceptance / its composite limit".to_owned(), 0.79, false)]);
    }

    #[test]
    fn replicas_on_the_same_cores_may_cost_a_little() {
        let mut figures = Figures::default();
        for (name, value) in
            [("replicas_1_per_s", 1_000.0), ("replicas_2_per_s", 850.0), ("replicas_4_per_s", 840.0)]
        {
            figures.set(name, value);
        }
        let expected =
            [("2 replicas / 1".to_owned(), 0.85, true), ("4 replicas / 1".to_owned(), 0.84, false)];
        assert_eq!(judged(&figures, &[]), expected);
    }

    #[test]
    fn of_the_latency_the_best_round_counts() {
        let rounds = |p99: [f64; 3]| {
            p99.map(|p99| {
                let mut round = Figures::default();
                round.set(P99, p99);
                round
            })
        };
        let name = "end to end p99 at half load, best round, ms".to_owned();
        let good = rounds([212.0, 60.0, 214.0]);
        assert_eq!(judged(&Figures::medians(&good), &good), [(name.clone(), 60.0, true)]);
        let bad = rounds([212.0, 60.5, 61.0]);
        assert_eq!(judged(&Figures::medians(&bad), &bad), [(name, 60.5, false)]);
    }

    fn judged(figures: &Figures, rounds: &[Figures]) -> Vec<(String, f64, bool)> {
        let targets = targets(figures, rounds);
        targets.iter().map(|target| (target.name.clone(), target.value, target.is_met())).collect()
    }

    #[test]
    fn a_ratio_is_one_within_a_round() {
        let rounds = [(4_000.0, 1_000.0), (8_400.0, 2_000.0), (6_000.0, 2_000.0)].map(|(ours, theirs)| {
            let mut round = Figures::default();
            round.set("end_to_end_per_s", ours);
            round.set("textbook_end_to_end_per_s", theirs);
            round
        });
        let targets = targets(&Figures::medians(&rounds), &rounds);
        assert_eq!((targets[0].value, &*targets[0].rounds), (4.0, &[4.0, 4.2, 3.0][..]));
    }
}
