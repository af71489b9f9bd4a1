//! The architecture holds: who may depend on whom, and `ARCHITECTURE.md` tells the truth about what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use cargo_metadata::{Dependency, DependencyKind, Metadata, MetadataCommand, Package, PackageId};

type Names = BTreeSet<String>;

const DOMAIN: [&str; 3] = ["events", "channels", "webhooks"];
const ADAPTERS: [&str; 2] = ["messaging", "storage"];
const SERVICES: [&str; 3] = ["ingress", "order-service", "merchant-notifier"];
/// What performs input and output, by network, broker or database.
const IO: [&str; 7] = ["tokio", "mio", "lapin", "tokio-postgres", "deadpool-postgres", "hyper", "reqwest"];
/// The schemas of each service's database.
const SCHEMAS: [(&str, &[&str]); 3] =
    [("ingress", &["pay", "ledger"]), ("order-service", &["orders"]), ("merchant-notifier", &["notify"])];
const MAX_FILE_LINES: usize = 500;

static METADATA: LazyLock<Metadata> = LazyLock::new(|| {
    // For one platform, so that the picture is the same on every machine.
    let options = ["--locked", "--filter-platform", "x86_64-unknown-linux-gnu"].map(str::to_owned);
    MetadataCommand::new().other_options(options).exec().expect("cargo metadata")
});

static ARCHITECTURE: LazyLock<String> =
    LazyLock::new(|| fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md"));

#[test]
fn domain_crates_do_no_io() {
    for name in DOMAIN {
        assert_disjoint(name, &reached_by(name), IO);
    }
}

#[test]
fn adapters_do_not_know_one_another() {
    for name in ADAPTERS {
        assert_disjoint(name, &reached_by(name), ADAPTERS.into_iter().filter(|other| *other != name));
    }
}

#[test]
fn only_the_operator_knows_services() {
    for package in members().filter(|package| package.name.as_str() != "operator") {
        let name = package.name.as_str();
        assert_disjoint(name, &reached_by(name), SERVICES.into_iter().filter(|other| *other != name));
    }
}

#[test]
fn services_run_without_what_serves_development() {
    for name in SERVICES {
        assert_disjoint(name, &reached_by(name), ["devstack", "operator", "xtask"]);
    }
}

#[test]
fn broker_and_database_have_one_adapter_each() {
    assert_users_of("lapin", &["messaging", "operator"]);
    assert_users_of("backoff", &["messaging"]);
    assert_users_of("deadpool-postgres", &["storage"]);
    // Statements stand in the services' own stores.
    assert_users_of("tokio-postgres", &[&["storage"], &SERVICES[..]].concat());
}

#[test]
fn devstack_has_no_dependencies() {
    assert_eq!(member("devstack").dependencies, []);
}

#[test]
fn no_service_names_another_ones_schema_in_sql() {
    for (service, _) in SCHEMAS {
        let foreign = SCHEMAS.iter().filter(|(other, _)| *other != service).flat_map(|(_, schemas)| *schemas);
        let phrases: Vec<_> = foreign
            .flat_map(|schema| {
                ["FROM", "JOIN", "INTO", "UPDATE", "TABLE"].map(|word| format!("{word} {schema}."))
            })
            .collect();
        let crate_folder = folder_of(member(service));
        for file in ["src", "migrations"].iter().flat_map(|part| files(&crate_folder.join(part))) {
            let text = fs::read_to_string(&file).expect("a text file");
            for phrase in &phrases {
                assert!(!text.contains(phrase), "{} says {phrase}", file.display());
            }
        }
    }
}

#[test]
fn source_files_are_short() {
    let sources: Vec<_> = members().flat_map(|package| files(&folder_of(package).join("src"))).collect();
    assert!(sources.len() > SERVICES.len(), "too few sources were found to check");
    for file in sources {
        let lines = fs::read_to_string(&file).expect("a text file").lines().count();
        assert!(lines <= MAX_FILE_LINES, "{} has {lines} lines", file.display());
    }
}

#[test]
fn architecture_lists_every_crate_of_the_workspace() {
    let members: Names = members().map(|package| package.name.to_string()).collect();
    assert_eq!(first_column("## Crates"), members);
}

#[test]
fn architecture_justifies_every_dependency_and_no_other() {
    let used: Names = members()
        .flat_map(|package| &package.dependencies)
        .filter(|dependency| is_external(dependency))
        .map(|dependency| dependency.name.clone())
        .collect();
    assert_eq!(first_column("## Dependencies"), used);
}

#[test]
fn paths_in_the_documents_exist() {
    for document in ["ARCHITECTURE.md", "README.md", "deploy/README.md"] {
        let text = fs::read_to_string(root().join(document)).expect("a document");
        let paths: Vec<_> = code_spans(&text).filter(|code| is_path(code)).collect();
        assert!(!paths.is_empty(), "{document} names no path");
        for path in paths {
            assert!(root().join(path).exists(), "{document} names {path}, which is not there");
        }
    }
}

#[test]
fn alerts_name_metrics_that_exist() {
    let alerts = fs::read_to_string(root().join("deploy/prometheus/alerts.yml")).expect("the alerts");
    let sources: Vec<_> = members()
        .flat_map(|package| files(&folder_of(package).join("src")))
        .map(|file| fs::read_to_string(file).expect("a text file"))
        .collect();
    let words = alerts.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let metrics: BTreeSet<_> = words.filter(|word| word.starts_with("payrelay_")).collect();
    assert!(!metrics.is_empty(), "the alerts name no metric");
    for metric in metrics {
        // What the exporter appends to the name of a histogram.
        let name = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| metric.strip_suffix(suffix));
        let quoted = format!("\"{}\"", name.unwrap_or(metric));
        assert!(sources.iter().any(|source| source.contains(&quoted)), "no source records {metric}");
    }
}

fn root() -> &'static Path {
    METADATA.workspace_root.as_std_path()
}

fn members() -> impl Iterator<Item = &'static Package> {
    METADATA.workspace_packages().into_iter()
}

fn member(name: &str) -> &'static Package {
    members().find(|package| package.name.as_str() == name).unwrap_or_else(|| panic!("no crate {name}"))
}

fn folder_of(package: &Package) -> PathBuf {
    package.manifest_path.parent().expect("a manifest lies in a folder").as_std_path().to_owned()
}

fn is_external(dependency: &Dependency) -> bool {
    dependency.path.is_none()
}

/// The names of all packages that end up in this one, through its dependencies but not through build and test ones.
fn reached_by(name: &str) -> Names {
    let nodes = &METADATA.resolve.as_ref().expect("a resolved graph").nodes;
    let edges: BTreeMap<&PackageId, _> = nodes.iter().map(|node| (&node.id, &node.deps)).collect();
    let (mut reached, mut pending) = (BTreeSet::new(), vec![&member(name).id]);
    while let Some(id) = pending.pop() {
        let normal = edges[id]
            .iter()
            .filter(|edge| edge.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal))
            .map(|edge| &edge.pkg);
        pending.extend(normal.filter(|id| reached.insert(*id)));
    }
    reached.into_iter().map(|id| METADATA[id].name.to_string()).collect()
}

fn assert_disjoint<'a>(name: &str, reached: &Names, forbidden: impl IntoIterator<Item = &'a str>) {
    let found: Vec<_> = forbidden.into_iter().filter(|other| reached.contains(*other)).collect();
    assert!(found.is_empty(), "{name} depends on {found:?}");
}

/// Exactly these crates use the dependency outside of tests.
fn assert_users_of(dependency: &str, expected: &[&str]) {
    let is_used = |package: &&Package| {
        if package.name.as_str() == env!("CARGO_PKG_NAME") {
            return false;
        }
        let mut uses = package.dependencies.iter().filter(|other| other.name == dependency);
        uses.any(|other| other.kind == DependencyKind::Normal)
    };
    let users: BTreeSet<_> = members().filter(is_used).map(|package| package.name.as_str()).collect();
    assert_eq!(users, expected.iter().copied().collect(), "users of {dependency}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// What stands as code in the first column of the table below this heading of `ARCHITECTURE.md`.
fn first_column(heading: &str) -> Names {
    let section =
        ARCHITECTURE.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("no {heading}"));
    let section = section.split("\n## ").next().unwrap_or_default();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    cells.flat_map(code_spans).map(str::to_owned).collect()
}

fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

fn is_path(code: &str) -> bool {
    ["crates/", "deploy/", "proto/", "tests/"].iter().any(|folder| code.starts_with(folder))
        && !code.contains([' ', '<', '*', '{'])
}
