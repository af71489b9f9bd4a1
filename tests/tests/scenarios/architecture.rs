//! The architecture holds: who may depend on whom, who may name which schema, and what the documents say of it.

mod circles;
mod clocks;
mod decisions;
mod documents;
mod generated;
mod readmes;
mod states;
pub(crate) mod workspace;

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Package, PackageId};

use workspace::{METADATA, files, folder_of, member, members, read, sources};

type Names = BTreeSet<String>;

/// What does no input or output.
const PURE: [&str; 4] = ["events", "admin-api", "channels", "webhooks"];
const ADAPTERS: [&str; 2] = ["messaging", "storage"];
const SERVICES: [&str; 3] = ["ingress", "order-service", "merchant-notifier"];
/// What performs input and output, by network, broker or database.
const IO: [&str; 7] = ["tokio", "mio", "lapin", "tokio-postgres", "deadpool-postgres", "hyper", "reqwest"];
/// The schemas of each service's database.
const SCHEMAS: [(&str, &[&str]); 3] =
    [("ingress", &["pay", "ledger"]), ("order-service", &["orders"]), ("merchant-notifier", &["notify"])];
const MAX_FILE_LINES: usize = 500;

#[test]
fn pure_crates_do_no_io() {
    for name in PURE {
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
fn the_ledger_knows_the_database_and_no_broker() {
    let reached = reached_by("ledger");
    assert!(reached.contains("storage"), "the picture shows the ledger on storage");
    assert_disjoint("ledger", &reached, ["messaging", "service"]);
}

#[test]
fn the_domain_knows_nothing_of_what_stands_on_it() {
    let ours = || members().map(|package| package.name.as_str());
    for name in PURE {
        assert_disjoint(name, &reached_by(name), ours().filter(|other| !PURE.contains(other)));
    }
    assert_disjoint("events", &reached_by("events"), ours());
}

#[test]
fn what_services_do_alike_stands_between_them_and_the_adapters() {
    let reached = reached_by("runtime");
    for below in ["service", "storage", "messaging"] {
        assert!(reached.contains(below), "the picture shows runtime above {below}");
    }
    assert_disjoint("runtime", &reached, ["ledger", "channels", "webhooks", "operator"]);
    for name in PURE.into_iter().chain(ADAPTERS).chain(["ledger", "service", "transport", "pay-client"]) {
        assert_disjoint(name, &reached_by(name), ["runtime"]);
    }
}

#[test]
fn no_handle_of_a_background_task_is_dropped() {
    // Each says itself how its end is seen.
    let exceptions = ["crates/messaging/src/publisher.rs", "crates/service/src/shutdown.rs"];
    let supervised =
        SERVICES.into_iter().chain(ADAPTERS).chain(["ledger", "service", "runtime", "pay-client"]);
    for file in supervised.flat_map(|name| files(&folder_of(member(name)).join("src"))) {
        let is_test = file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs");
        if is_test || exceptions.iter().any(|exception| file.ends_with(exception)) {
            continue;
        }
        let text = read(&file);
        let dropped = text.lines().find(|line| line.trim_start().starts_with("tokio::spawn("));
        assert_eq!(dropped, None, "{} drops the handle", file.display());
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
fn other_teams_take_messaging_and_events_and_no_more_of_ours() {
    let ours: Names = members().map(|package| package.name.to_string()).collect();
    let taken: Names = reached_by("pay-client").intersection(&ours).cloned().collect();
    assert_eq!(taken, ["events", "messaging", "transport"].map(str::to_owned).into());
}

#[test]
fn services_run_without_what_serves_development() {
    for name in SERVICES {
        assert_disjoint(name, &reached_by(name), ["devstack", "operator", "xtask"]);
    }
}

#[test]
fn broker_and_database_have_one_adapter_each() {
    // The bench holds the bare libraries beside the adapters.
    assert_users_of("lapin", &["messaging", "operator", "bench"]);
    assert_users_of("backoff", &["messaging"]);
    assert_users_of("deadpool-postgres", &["storage"]);
    // Statements stand in the services' own stores, those on accounts in the ledger.
    assert_users_of("tokio-postgres", &[&["storage", "ledger", "bench"], &SERVICES[..]].concat());
}

#[test]
fn failpoints_are_compiled_in_only_where_they_are_asked_for() {
    for package in members() {
        for (feature, enables) in &package.features {
            let turned_on = enables.iter().any(|other| other.ends_with("failpoints"));
            assert!(
                !turned_on || feature == "failpoints",
                "{} turns failpoints on by {feature}",
                package.name
            );
        }
        for dependency in &package.dependencies {
            let asked = dependency.features.iter().any(|feature| feature == "failpoints");
            assert!(!asked, "{} always has the failpoints of {}", package.name, dependency.name);
        }
    }
    for service in SERVICES {
        assert!(member(service).features.contains_key("failpoints"), "{service} has none to compile in");
    }
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
            let text = read(&file);
            for phrase in &phrases {
                assert!(!text.contains(phrase), "{} says {phrase}", file.display());
            }
        }
    }
}

#[test]
fn source_files_are_short() {
    let sources = sources();
    assert!(sources.len() > SERVICES.len(), "too few sources were found to check");
    let written = sources.iter().filter(|file| file.iter().all(|folder| folder != "generated"));
    for file in written {
        let lines = read(file).lines().count();
        assert!(lines <= MAX_FILE_LINES, "{} has {lines} lines", file.display());
    }
}

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
