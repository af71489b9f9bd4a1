//! The sources say of every metric what it is: each crate that records any has one table, `metric_table.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::architecture::workspace::{files, folder_of, members, read};

const TABLE: &str = "metric_table.rs";
const KINDS: [&str; 3] = ["counter", "gauge", "histogram"];
/// Its routes are known with the first request.
const STARTED_LATER: &str = "payrelay_http_request_seconds";

/// A call of one of the macros of `metrics`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    kind: &'static str,
    name: String,
    /// What follows the name.
    rest: String,
}

/// What a crate says of its metrics, and what it records.
#[derive(Debug, Default)]
struct Metrics {
    described: BTreeMap<String, Call>,
    /// Within the table.
    started: BTreeSet<(&'static str, String)>,
    recorded: BTreeSet<(&'static str, String)>,
}

#[test]
fn every_metric_stands_in_the_table_of_its_crate_with_help_and_unit() {
    let mut all = 0;
    for package in members() {
        let name = package.name.as_str();
        let Metrics { described, started, recorded } = metrics(&folder_of(package).join("src"));
        all += described.len();
        for (kind, metric) in &recorded {
            let call = described
                .get(metric)
                .unwrap_or_else(|| panic!("{name} records {metric}, and its {TABLE} does not describe it"));
            assert_eq!(call.kind, *kind, "{name}: {metric}");
        }
        for (metric, call) in described {
            let known = (call.kind, metric.clone());
            assert!(recorded.contains(&known) || started.contains(&known), "{name} never records {metric}");
            let must_start = call.kind != "gauge" && metric != STARTED_LATER;
            assert!(
                !must_start || started.contains(&known),
                "{name}: {metric} is absent before its first event"
            );
            check_name(&call);
        }
    }
    assert!(all > 20, "too few metrics were found to check");
}

/// Names end with their unit, as Prometheus advises, and the text form has no other place for it.
fn check_name(Call { kind, name, rest }: &Call) {
    assert!(name.starts_with("payrelay_"), "{name}");
    assert_eq!(*kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
    assert_eq!(rest.contains("Unit::Seconds"), name.ends_with("_seconds"), "{name} and its unit: {rest}");
    assert!(rest.contains("Unit::"), "{name} has no unit");
    let help = rest.split('"').nth(1).unwrap_or_default();
    assert!(help.len() > 20 && help.ends_with('.'), "{name} has no sentence for help: {help:?}");
}

fn metrics(sources: &Path) -> Metrics {
    let mut found = Metrics::default();
    for file in files(sources) {
        let is_table = file.ends_with(TABLE);
        let text = read(&file);
        for kind in KINDS {
            for Call { name, rest, .. } in calls(&text, &format!("describe_{kind}!("), kind, &file) {
                assert!(is_table, "{} describes {name}; that is for {TABLE}", file.display());
                found.described.insert(name.clone(), Call { kind, name, rest });
            }
            let of = if is_table { &mut found.started } else { &mut found.recorded };
            of.extend(calls(&text, &format!("{kind}!("), kind, &file).map(|call| (kind, call.name)));
        }
    }
    found
}

/// All calls of this macro, whose first argument must be a name in quotes: no other can be looked for.
fn calls<'a>(
    text: &'a str,
    macro_call: &'a str,
    kind: &'static str,
    file: &'a Path,
) -> impl Iterator<Item = Call> + use<'a> {
    text.match_indices(macro_call).filter_map(move |(at, _)| {
        let before = text[..at].chars().next_back().unwrap_or(' ');
        if before.is_alphanumeric() || before == '_' {
            return None;
        }
        let arguments = text[at + macro_call.len()..].trim_start();
        let quoted = arguments.strip_prefix('"').and_then(|rest| rest.split_once('"'));
        let (name, rest) = quoted.unwrap_or_else(|| panic!("{}: {kind}! without a name", file.display()));
        let rest = rest.split(");").next().unwrap_or_default().to_owned();
        Some(Call { kind, name: name.to_owned(), rest })
    })
}
