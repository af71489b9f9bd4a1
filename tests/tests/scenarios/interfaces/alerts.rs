//! `deploy/prometheus/alerts.yml`: every alert is tested, and the runbook says what to do about it.

use std::collections::BTreeSet;

use devstack::testing::promtool;

use super::run;
use crate::architecture::workspace::{read, root};

const RULES: &str = "deploy/prometheus/alerts.yml";
const TESTS: &str = "deploy/prometheus/alerts_test.yml";
const RUNBOOK: &str = "deploy/README.md";
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
fn the_runbook_says_what_to_do_about_every_alert_and_no_other() {
    let runbook = read(RUNBOOK);
    let section = runbook.split_once("\n## Alerts, and what to do\n").expect("the section").1;
    let table = section.split("\n## ").next().unwrap_or_default();
    let cells = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let described: BTreeSet<_> =
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
    assert_eq!(described, alerts());
}

/// The names of all alerts.
fn alerts() -> BTreeSet<String> {
    let rules = read(RULES);
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect()
}
