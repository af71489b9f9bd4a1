//! `docs/metrics.md`, from the table of metrics of each crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use super::{add_part, hold, table};
use crate::commands::audit::metric_table as audit;

const INTRODUCTION: &str = "\
# Metrics

Every service answers `GET /metrics` on its admin port, in the text format of Prometheus.
`payrelay audit --watch --listen ADDRESS` answers it, too.

- A counter starts at zero with the process, so that `rate()` sees its first event.
- A histogram has the series `_bucket`, `_sum` and `_count`.
- The label `version` of `payrelay_build_info` tells the release.

[The runbook](runbook/README.md) says what to do about the alerts that are made of them.
";

/// A part of the page: its heading, who has the metrics, their crate, and what describes them.
struct Part {
    heading: &'static str,
    who: &'static str,
    package: &'static str,
    describe: fn(),
}

const PARTS: [Part; 7] = [
    Part {
        heading: "Process and HTTP",
        who: "Every service.",
        package: "service",
        describe: service::describe_metrics,
    },
    Part {
        heading: "PostgreSQL",
        who: "Every service.",
        package: "storage",
        describe: storage::describe_metrics,
    },
    Part {
        heading: "RabbitMQ",
        who: "Every service.",
        package: "messaging",
        describe: messaging::describe_metrics,
    },
    Part {
        heading: "ingress",
        who: "The ingress alone.",
        package: "ingress",
        describe: ingress::describe_metrics,
    },
    Part {
        heading: "order-service",
        who: "The order service alone.",
        package: "order-service",
        describe: order_service::describe_metrics,
    },
    Part {
        heading: "merchant-notifier",
        who: "The merchant notifier alone.",
        package: "merchant-notifier",
        describe: merchant_notifier::describe_metrics,
    },
    Part {
        heading: "payrelay audit",
        who: "`payrelay audit --watch` alone.",
        package: "operator",
        describe: audit::describe_metrics,
    },
];

#[test]
fn the_page_of_the_metrics_is_current() {
    let mut page = INTRODUCTION.to_owned();
    for Part { heading, who, package, describe } in PARTS {
        let table_of_crate = Descriptions::default();
        metrics::with_local_recorder(&table_of_crate, describe);
        let labels = labels(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(package).join("src"));
        let described = table_of_crate.0.into_inner().expect("nothing has panicked");
        assert!(!described.is_empty(), "{package} describes no metric");
        let rows = described.into_iter().map(|(name, Description { kind, unit, help })| {
            let labels: Vec<_> =
                labels.get(&name).into_iter().flatten().map(|label| format!("`{label}`")).collect();
            [format!("`{name}`"), kind.to_owned(), unit, labels.join(", "), help]
        });
        let metrics = table(["metric", "type", "unit", "labels", "meaning"], rows);
        add_part(&mut page, heading, &format!("{who}\n\n{metrics}"));
    }
    hold("metrics.md", &page);
}

struct Description {
    kind: &'static str,
    unit: String,
    help: String,
}

/// Takes descriptions, and records nothing.
#[derive(Default)]
struct Descriptions(Mutex<BTreeMap<String, Description>>);

impl Descriptions {
    fn add(&self, kind: &'static str, name: &KeyName, unit: Option<Unit>, help: &SharedString) {
        let unit = unit.map(|unit| unit.as_str().to_owned()).unwrap_or_default();
        let description = Description { kind, unit, help: help.to_string() };
        let mut descriptions = self.0.lock().expect("nothing has panicked");
        let earlier = descriptions.insert(name.as_str().to_owned(), description);
        assert!(earlier.is_none(), "{} is described twice", name.as_str());
    }
}

impl Recorder for Descriptions {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.add("counter", &name, unit, &help);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.add("gauge", &name, unit, &help);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.add("histogram", &name, unit, &help);
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// The labels of each metric that these sources record, by the metric's name.
fn labels(sources: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut labels = BTreeMap::<String, BTreeSet<String>>::new();
    for file in files(sources) {
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for kind in ["counter", "gauge", "histogram"] {
            for call in text.split(&format!("{kind}!(")).skip(1) {
                // Up to what is done with the metric.
                let call = call.split([';', '}']).next().unwrap_or_default();
                let Some((name, rest)) =
                    call.trim_start().strip_prefix('"').and_then(|call| call.split_once('"'))
                else {
                    continue;
                };
                let named =
                    rest.split("\" =>").filter_map(|before| before.rsplit_once('"')).map(|(_, label)| label);
                let is_name =
                    |label: &&str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_lowercase());
                labels.entry(name.to_owned()).or_default().extend(named.filter(is_name).map(str::to_owned));
            }
        }
    }
    labels
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
