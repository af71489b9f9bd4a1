//! `deploy/prometheus/alerts.yml`: every alert is tested, and has a page of the runbook that says what to do about it.

use std::collections::{BTreeMap, BTreeSet};

use devstack::testing::promtool;

use super::run;
use crate::architecture::workspace::{files, read, root};

const RULES: &str = "deploy/prometheus/alerts.yml";
const TESTS: &str = "deploy/prometheus/alerts_test.yml";
const RUNBOOK: &str = "docs/runbook";
/// What whoever is on call asks of each alert, in this order.
const SECTIONS: [&str; 4] = ["What it means", "What to look at", "What to do", "When it ends"];
/// The group in which Prometheus has no data at all.
const NO_DATA: &str = "without any data";

#[test]
fn alerts_do_what_their_tests_say() {
    let Some(promtool) = promtool() else { return };
    for arguments in [
        ["check", "rules", RULES],
        ["test", "rules", TESTS],
        ["check", "config", "deploy/prometheus/prometheus.yml"],
    ] {
        let (passed, printed) =
            run(std::process::Command::new(&promtool).args(arguments).current_dir(root()));
        assert!(passed, "promtool {arguments:?}: {printed}");
    }
}

#[test]
fn every_alert_is_tested_silent_firing_and_without_data() {
    let tests = read(TESTS);
    let groups: Vec<_> =
        tests.split("\n  - name: ").skip(1).filter_map(|group| group.split_once('\n')).collect();
    let group = |name: &str| {
        let mut found = groups.iter().filter(|(of, _)| *of == name);
        found.next().unwrap_or_else(|| panic!("{TESTS} has no group {name:?}")).1
    };
    let alerts = alerts();
    assert!(alerts.len() > 20, "too few alerts were found to check: {alerts:?}");
    for alert in &alerts {
        let own = group(alert);
        assert!(
            own.contains(&format!("alertname: {alert}, exp_alerts: [] }}")),
            "{alert} is never tested silent"
        );
        assert!(
            own.contains(&format!("alertname: {alert}\n        exp_alerts:\n          - ")),
            "{alert} is never tested firing"
        );
        let named = format!("alertname: {alert}");
        let without = group(NO_DATA).lines().any(|line| {
            line.contains(&named)
                && line.split(&named).nth(1).is_some_and(|rest| rest.is_empty() || rest.starts_with(','))
        });
        assert!(without, "{alert} is not tested without data");
    }
    let known: BTreeSet<_> = alerts.iter().map(String::as_str).collect();
    let stray = groups.iter().find(|(name, _)| name.starts_with(char::is_uppercase) && !known.contains(name));
    assert_eq!(stray.map(|(name, _)| *name), None, "tested, and no alert");
}

#[test]
fn every_alert_has_its_page_of_the_runbook_and_no_other() {
    let pages = files(&root().join(RUNBOOK));
    let names = pages.iter().filter_map(|path| path.file_name()?.to_str()?.strip_suffix(".md"));
    // Pages of other things are written small.
    let of_alerts: BTreeSet<_> = names
        .filter(|name| *name != "README" && name.starts_with(char::is_uppercase))
        .map(str::to_owned)
        .collect();
    assert_eq!(of_alerts, alerts());
    for (alert, severity) in severities() {
        let page = read(format!("{RUNBOOK}/{alert}.md"));
        let severity = severity[..1].to_uppercase() + &severity[1..];
        assert!(
            page.starts_with(&format!("# {alert}\n\n**{severity}.** ")),
            "the page of {alert} does not begin with its name and severity"
        );
        let sections: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(sections, SECTIONS, "{alert}");
    }
}

#[test]
fn the_table_of_the_runbook_and_each_alert_name_the_page() {
    let index = read(format!("{RUNBOOK}/README.md"));
    let row = |line: &str| {
        let [alert, severity, _] =
            line.strip_prefix("| [`")?.split(" | ").collect::<Vec<_>>().try_into().ok()?;
        let (name, target) = alert.split_once("`](")?;
        assert_eq!(target, format!("{name}.md)"), "{line}");
        Some((name.to_owned(), severity.to_owned()))
    };
    let table: Vec<_> = index.lines().filter_map(row).collect();
    let severities = severities();
    assert_eq!(table.len(), severities.len(), "an alert stands twice in the table");
    assert_eq!(table.into_iter().collect::<BTreeMap<_, _>>(), severities);
    for (alert, rule) in rules() {
        let url = rule.lines().find_map(|line| line.trim().strip_prefix("runbook_url: "));
        assert_eq!(url, Some(format!("{RUNBOOK}/{alert}.md").as_str()), "{alert}");
    }
}

/// Each alert, and what its rule says.
fn rules() -> Vec<(String, String)> {
    let rules = read(RULES);
    let rules = rules.split("\n      - alert: ").skip(1);
    rules
        .map(|rule| {
            let (name, rest) = rule.split_once('\n').expect("a rule has more lines than its name");
            (name.to_owned(), rest.to_owned())
        })
        .collect()
}

fn severities() -> BTreeMap<String, String> {
    let severity = |rule: &str| {
        let labels = rule.split_once("labels: { severity: ").expect("every alert has a severity").1;
        labels.split(" }").next().unwrap_or_default().to_owned()
    };
    rules().into_iter().map(|(alert, rule)| (alert, severity(&rule))).collect()
}

/// The names of all alerts.
fn alerts() -> BTreeSet<String> {
    let rules = read(RULES);
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect()
}
