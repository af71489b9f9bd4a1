//! The pages of the book that list what others build on or look up: each list is complete, and has nothing else.

use std::collections::BTreeSet;

use channels::{CallbackRefusal, unbooked};
use events::ContradictionReason;

use crate::architecture::workspace::{read, sources};

type Names = BTreeSet<String>;

const METHODS: [&str; 3] = ["get", "post", "put"];
/// Every service has these, by `service` and `runtime`.
const OF_EVERY_SERVICE: [&str; 4] = ["GET /healthz", "GET /readyz", "GET /metrics", "GET /admin/checkup"];

#[test]
fn the_http_reference_lists_every_request_and_no_other() {
    let page = read("docs/http.md");
    let described = ["crates/ingress/openapi.yaml", "crates/order-service/openapi.yaml"];
    let expected: Names = described.iter().flat_map(|document| operations(&read(document))).collect();
    assert!(expected.len() > 10, "too few requests were found to check: {expected:?}");
    assert_eq!(requests(&page), expected);
}

#[test]
fn the_admin_reference_lists_every_route_and_no_other() {
    let page = read("docs/admin.md");
    let section = |heading: &str| {
        let below = page.split(&format!("\n## {heading}")).nth(1).unwrap_or_else(|| panic!("no {heading}"));
        requests(below.split("\n## ").next().unwrap_or_default())
    };
    assert_eq!(section("Every service"), names(OF_EVERY_SERVICE));
    for (heading, service) in
        [("Ingress", "ingress"), ("Order service", "order-service"), ("Notifier", "merchant-notifier")]
    {
        let routes = routes(&read(format!("crates/{service}/src/admin.rs")));
        assert!(routes.len() > 5, "too few routes of {service} were found to check: {routes:?}");
        assert_eq!(section(heading), routes, "{service}");
    }
    assert_eq!(requests(&page), operations(&read("crates/admin-api/openapi.yaml")));
}

#[test]
fn the_amqp_reference_names_every_header_and_field() {
    let page = read("docs/amqp.md");
    let document = read("crates/messaging/asyncapi.yaml");
    let properties = document.lines().filter_map(|line| line.trim().split_once(':'));
    let headers: Names = properties
        .map(|(name, _)| name.to_owned())
        .filter(|name| name.starts_with("cloudEvents_") || name.starts_with("x-payrelay-"))
        .collect();
    assert!(headers.len() > 10, "too few headers were found to check: {headers:?}");
    let schema = read("proto/pay/v1/pay_event.proto");
    let message = schema.split_once("\nmessage PayEvent {\n").expect("the message").1;
    let fields = message.lines().filter_map(|line| line.split_once(" = ")?.0.split(' ').next_back());
    let fields: Names = fields.map(str::to_owned).collect();
    assert!(fields.len() > 15, "too few fields were found to check: {fields:?}");
    let named: Names = code_spans(&page).map(str::to_owned).collect();
    let missing: Vec<_> = headers.union(&fields).filter(|name| !named.contains(*name)).collect();
    assert_eq!(missing, Vec::<&String>::new());
}

#[test]
fn every_contradiction_and_what_is_unbooked_have_their_row() {
    let of_the_order_service = names(["second_payment", "order_closed"]);
    let expected: Names = names(ContradictionReason::ALL.map(ContradictionReason::as_str));
    let expected: Names = expected.union(&of_the_order_service).cloned().collect();
    assert_eq!(first_column(&read("docs/runbook/contradictions.md"), "| reason |"), expected);
    assert_eq!(first_column(&read("docs/runbook/callbacks.md"), "| code |"), names(unbooked::ALL));
}

#[test]
fn every_refusal_of_a_callback_has_its_row() {
    let pages = ["Refused", "Unusable", "Unread"]
        .map(|kind| first_column(&read(format!("docs/runbook/PayrelayCallbacks{kind}.md")), "| `outcome` |"));
    let explained: Names = pages.into_iter().flatten().collect();
    // A probe is refused on purpose, and alerts nobody. An address of no account has no channel that could refuse.
    let expected = CallbackRefusal::CODES.into_iter().filter(|code| *code != "probe");
    assert_eq!(explained, names(expected.chain(["unknown_account"])));
}

#[test]
fn every_code_of_the_doctor_has_its_row() {
    let explained = first_column(&read("docs/runbook/doctor.md"), "| codes |");
    let sources: Vec<_> = sources().iter().map(read).collect();
    let found: Names = sources.iter().flat_map(|source| codes(source)).collect();
    assert!(found.len() > 20, "too few codes were found to check: {found:?}");
    assert_eq!(found.difference(&explained).collect::<Vec<_>>(), Vec::<&String>::new(), "not explained");
    let is_made = |code: &String| sources.iter().any(|source| source.contains(&format!("\"{code}\"")));
    assert_eq!(explained.iter().find(|code| !is_made(code)), None, "explained, and never said");
}

fn names<'a>(of: impl IntoIterator<Item = &'a str>) -> Names {
    of.into_iter().map(str::to_owned).collect()
}

fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// What stands as code in the first column of the table with this head.
fn first_column(page: &str, head: &str) -> Names {
    let table = page.split(&format!("\n{head}")).nth(1).unwrap_or_else(|| panic!("no table {head}"));
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| "));
    let cells = rows.filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    cells.flat_map(code_spans).map(str::to_owned).collect()
}

/// The requests that rows of tables begin with.
fn requests(text: &str) -> Names {
    let cells = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let is_request =
        |cell: &&str| METHODS.iter().any(|method| cell.starts_with(&format!("{} /", method.to_uppercase())));
    cells.filter(is_request).map(str::to_owned).collect()
}

/// The operations of a document in `OpenAPI`.
fn operations(document: &str) -> Names {
    let paths = document.split_once("\npaths:\n").and_then(|(_, rest)| rest.split_once("\ncomponents:\n"));
    let mut path = "";
    let mut found = Names::new();
    for line in paths.expect("paths before components").0.lines() {
        if let Some(next) = line.strip_prefix("  /").and_then(|rest| rest.strip_suffix(':')) {
            path = next;
        }
        let method = line.strip_prefix("    ").and_then(|rest| rest.strip_suffix(':'));
        if let Some(method) = method.filter(|method| METHODS.contains(method)) {
            found.insert(format!("{} /{path}", method.to_uppercase()));
        }
    }
    found
}

/// The routes that a router has, by the calls that make it.
fn routes(source: &str) -> Names {
    let calls = source.split(".route(\"").skip(1).filter_map(|rest| rest.split_once("\", "));
    let routes = calls.flat_map(|(path, handlers)| {
        let handlers = handlers.lines().next().unwrap_or_default();
        let has = |method: &&&str| {
            handlers.starts_with(&format!("{method}(")) || handlers.contains(&format!(".{method}("))
        };
        let methods: Vec<_> = METHODS.iter().filter(has).collect();
        methods.into_iter().map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    routes.collect()
}

/// The codes of findings that a source makes.
fn codes(source: &str) -> Names {
    let makes = ["DoctorFinding::error(", "DoctorFinding::warning("];
    let calls = makes.iter().flat_map(|make| source.split(make).skip(1));
    let literals = calls.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    literals.map(str::to_owned).collect()
}
