//! What the pairs of turns say together: a table for people, JSON for machines, and a verdict.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::ratio::Ratio;
use super::turn::{CPU, P50, P99};
use crate::figures::Figures;
use crate::machine::cores;
use crate::stats::median;

/// What one pair of turns showed.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) old: Figures,
    pub(super) new: Figures,
}

/// All pairs, and what is allowed.
#[derive(Debug)]
pub(super) struct Comparison {
    /// What the old version is called.
    pub(super) against: String,
    /// The bound of what is judged.
    pub(super) at_most: f64,
    /// The rate, and how long each turn was.
    pub(super) conditions: Figures,
    pub(super) pairs: Vec<Pair>,
}

/// What is judged, as the verdict calls it, and the figure. The slowest hundredth is not: one pause of the servers moves it
/// by more than any change of the code.
const JUDGED: [(&str, &str); 2] = [("CPU per payment", CPU), ("latency", P50)];

/// What is shown, and the figure.
const SHOWN: [(&str, &str); 11] = [
    ("CPU of the services, us per payment", CPU),
    ("  ingress", "cpu_us_per_payment.ingress"),
    ("  order-service", "cpu_us_per_payment.order-service"),
    ("  merchant-notifier", "cpu_us_per_payment.merchant-notifier"),
    ("CPU of PostgreSQL, us per payment", "cpu_us_per_payment.postgresql"),
    ("CPU of RabbitMQ, us per payment", "cpu_us_per_payment.rabbitmq"),
    ("write-ahead log, bytes per payment", "wal_bytes_per_payment"),
    ("end to end p50, ms", P50),
    ("end to end p99, ms", P99),
    ("acceptance p50, ms", "accept_p50_ms"),
    ("acceptance p99, ms", "accept_p99_ms"),
];

impl Comparison {
    /// The quotient of the new version's figure and the old one's.
    fn ratio(&self, figure: &str) -> Result<Ratio> {
        let quotients = self.quotients(figure)?;
        Ratio::of(&quotients).with_context(|| format!("{figure}: {quotients:?} cannot be compared"))
    }

    fn quotients(&self, figure: &str) -> Result<Vec<f64>> {
        let of = |pair: &Pair| Some(pair.new.get(figure)? / pair.old.get(figure)?);
        self.pairs.iter().map(of).collect::<Option<_>>().with_context(|| format!("a turn has no {figure}"))
    }

    /// What is above the bound, by the names of the verdict.
    pub(super) fn above(&self) -> Result<Vec<&'static str>> {
        self.judged_where(|ratio| ratio.is_above(self.at_most))
    }

    fn judged_where(&self, is: impl Fn(Ratio) -> bool) -> Result<Vec<&'static str>> {
        let mut names = Vec::new();
        for (name, figure) in JUDGED {
            if is(self.ratio(figure)?) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// One line: the ratios that are judged, and whether they are within the bound.
    pub(super) fn verdict(&self) -> Result<String> {
        let mut ratios = Vec::new();
        for (name, figure) in JUDGED {
            ratios.push(format!("{name} {}", self.ratio(figure)?));
        }
        let above = self.above()?;
        let open = self.judged_where(|ratio| ratio.high > self.at_most)?;
        let judgement = if !above.is_empty() {
            format!("{} above {}", above.join(" and "), self.at_most)
        } else if open.is_empty() {
            format!("within {}", self.at_most)
        } else {
            let open = open.join(" and ");
            format!("within {}, though the interval of {open} reaches above it", self.at_most)
        };
        Ok(format!("bench: {} of {}: {judgement}", ratios.join(", "), self.against))
    }

    /// The medians of both versions, their quotients, and whether a difference was seen.
    pub(super) fn table(&self) -> Result<String> {
        let mut table = Table::new();
        let header = ["FIGURE", "OLD", "NEW", "NEW / OLD", "95 %", "DIFFERENCE"];
        table.load_style(presets::NOTHING).set_header(header);
        for (name, figure) in SHOWN {
            let ratio = self.ratio(figure)?;
            table.add_row([
                name.to_owned(),
                format!("{:.1}", self.median(figure, |pair| &pair.old)?),
                format!("{:.1}", self.median(figure, |pair| &pair.new)?),
                format!("{:.3}", ratio.mean),
                format!("{:.3} to {:.3}", ratio.low, ratio.high),
                difference(ratio).to_owned(),
            ]);
        }
        Ok(format!("{}\n", table.trim_fmt()))
    }

    fn median(&self, figure: &str, side: fn(&Pair) -> &Figures) -> Result<f64> {
        let values: Vec<_> = self.pairs.iter().filter_map(|pair| side(pair).get(figure)).collect();
        median(&values).with_context(|| format!("no turn has {figure}"))
    }

    /// Writes everything to a file.
    pub(super) fn write(&self, file: &Path, settings: &[(String, String)]) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.to_json(settings)?)?;
        fs::write(file, text + "\n").with_context(|| file.display().to_string())
    }

    fn to_json(&self, settings: &[(String, String)]) -> Result<Value> {
        let mut ratios = serde_json::Map::new();
        for (_, figure) in SHOWN {
            let Ratio { mean, low, high } = self.ratio(figure)?;
            let pairs = self.quotients(figure)?;
            let judged = JUDGED.iter().any(|(_, name)| *name == figure);
            let ratio = json!({"ratio": mean, "low": low, "high": high, "judged": judged, "pairs": pairs});
            ratios.insert(figure.to_owned(), ratio);
        }
        let turns = |side: fn(&Pair) -> &Figures| -> Vec<Value> {
            self.pairs.iter().map(|pair| Value::Object(side(pair).to_json())).collect()
        };
        let settings: serde_json::Map<_, _> =
            settings.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        Ok(json!({
            "against": self.against,
            "at_most": self.at_most,
            "within": self.above()?.is_empty(),
            "above": self.above()?,
            "verdict": self.verdict()?,
            "cores": cores(),
            "conditions": self.conditions.to_json(),
            "settings": settings,
            "ratios": ratios,
            "old": turns(|pair| &pair.old),
            "new": turns(|pair| &pair.new),
        }))
    }
}

/// A difference is seen where the interval does not hold 1.
fn difference(ratio: Ratio) -> &'static str {
    if ratio.low > 1.0 {
        "more"
    } else if ratio.high < 1.0 {
        "less"
    } else {
        "none seen"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs whose old turns have 100 of everything, and whose new ones 100 times these quotients of what is judged.
    fn comparison(quotients: &[(f64, f64)]) -> Comparison {
        let figures = |cpu: f64, latency: f64| {
            let mut figures = Figures::default();
            for (_, figure) in SHOWN {
                figures.set(figure, 100.0);
            }
            figures.set(CPU, cpu * 100.0);
            figures.set(P50, latency * 100.0);
            figures
        };
        let pairs = quotients
            .iter()
            .map(|(cpu, latency)| Pair { old: figures(1.0, 1.0), new: figures(*cpu, *latency) });
        let conditions = Figures::default();
        Comparison { against: "v1".to_owned(), at_most: 1.04, conditions, pairs: pairs.collect() }
    }

    #[test]
    fn what_is_within_the_bound_is_good() {
        let good = comparison(&[(1.0, 0.97), (1.01, 0.98), (1.02, 0.99)]);
        assert_eq!(
            good.verdict().unwrap(),
            "bench: CPU per payment 1.01 (0.99 to 1.04), latency 0.98 (0.96 to 1.01) of v1: within 1.04"
        );
        assert!(good.above().unwrap().is_empty());
    }

    #[test]
    fn either_of_the_two_above_the_bound_is_bad() {
        let cpu = comparison(&[(1.10, 1.0), (1.11, 1.0), (1.12, 1.0)]);
        assert_eq!(cpu.above().unwrap(), ["CPU per payment"]);
        assert!(cpu.verdict().unwrap().ends_with("of v1: CPU per payment above 1.04"));
        let both = comparison(&[(1.10, 1.2), (1.11, 1.2), (1.12, 1.2)]);
        assert_eq!(both.above().unwrap(), ["CPU per payment", "latency"]);
        let latency = comparison(&[(1.0, 1.2), (1.0, 1.21), (1.0, 1.19)]);
        assert_eq!(latency.to_json(&[]).unwrap()["within"], json!(false));
    }

    #[test]
    fn doubt_is_for_the_new_version_and_is_told() {
        let open = comparison(&[(1.0, 1.0), (1.3, 1.0), (1.1, 1.0)]);
        assert!(open.above().unwrap().is_empty());
        let told = "within 1.04, though the interval of CPU per payment reaches above it";
        assert!(open.verdict().unwrap().ends_with(told));
    }

    #[test]
    fn a_difference_is_seen_where_the_interval_leaves_1_out() {
        let of = |low, high| difference(Ratio { mean: 1.0, low, high });
        assert_eq!([of(1.01, 1.1), of(0.9, 0.99), of(0.9, 1.1)], ["more", "less", "none seen"]);
    }

    #[test]
    fn a_turn_without_a_figure_is_an_error() {
        let mut broken = comparison(&[(1.0, 1.0), (1.0, 1.0)]);
        broken.pairs[1].new = Figures::default();
        assert!(broken.verdict().is_err());
    }

    #[test]
    fn machines_read_each_pair() {
        let json = comparison(&[(1.0, 1.0), (1.02, 1.0)]).to_json(&[]).unwrap();
        assert_eq!(json["ratios"][CPU]["pairs"], json!([1.0, 1.02]));
        assert_eq!(json["ratios"][CPU]["judged"], json!(true));
        assert_eq!(json["ratios"][P99]["judged"], json!(false));
        assert_eq!(json["new"][1]["cpu_us_per_payment"]["services"], json!(102.0));
    }
}
