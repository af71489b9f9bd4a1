use messaging::management::{HeldConnection, HeldNode, HeldQueue};
use messaging::{RetryDelays, Severity, Topology, definitions};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

use super::*;
use crate::commands::doctor::gather::ServiceCheckup;

const NOW: OffsetDateTime = datetime!(2026-01-31 12:00 UTC);
const DELAYS: &str = "5s,30s,5m";

fn answer(service: &str, own: Value) -> CheckupAnswer {
    let mut answer = json!({
        "service": service, "version": "1.2.3", "now_unix_ms": 0, "retention_days": 30, "retry_delays": DELAYS,
        "workers": 6, "sessions": 1,
        "database": {
            "server_started_at": "2026-01-01T00:00:00Z", "version": 150_018, "ahead_ms": 20, "max_connections": 97,
            "fsync": true, "synchronous_commit": "on", "pool": 16, "missing_partitions": [],
        },
    });
    let Value::Object(own) = own else { panic!("{own}") };
    answer.as_object_mut().expect("an object").extend(own);
    serde_json::from_value(answer).expect("an answer")
}

fn told(service: &'static str, own: Value) -> ServiceCheckup {
    let url = format!("http://{service}:9080");
    ServiceCheckup { service, url, answer: Ok(answer(service, own)), ahead: Duration::milliseconds(300) }
}

/// A pipeline and servers without a fault.
fn sound() -> Facts {
    let topology = Topology::payrelay(&DELAYS.parse::<RetryDelays>().expect("delays"));
    let definitions = definitions(&topology, "/");
    let parsed = |kind: &str| definitions[kind].clone();
    let node =
        HeldNode { name: "rabbit@a".to_owned(), disk_free_limit: Some(4_000_000_000), ..HeldNode::default() };
    Facts {
        now: NOW,
        services: vec![
            told("ingress", json!({ "channel_accounts": 1 })),
            told("order-service", json!({ "default_merchant_id": "m1" })),
            told(
                "merchant-notifier",
                json!({ "default_merchant_id": "m1", "allowed_networks": ["10.0.0.0/8", "fd00::/8"] }),
            ),
        ],
        topology,
        broker: Some(Ok(())),
        inspected: Vec::new(),
        held: Ok(messaging::management::HeldVhost {
            version: "3.10.8".to_owned(),
            exchanges: serde_json::from_value(parsed("exchanges")).expect("exchanges"),
            queues: serde_json::from_value(parsed("queues")).expect("queues"),
            bindings: serde_json::from_value(parsed("bindings")).expect("bindings"),
            nodes: Some(vec![node]),
            ..messaging::management::HeldVhost::default()
        }),
        oldest_dead: vec![("a.dlq".to_owned(), NOW - Duration::days(3))],
    }
}

/// The codes of what is found after `spoil`; each finding says what to do.
fn found(spoil: impl FnOnce(&mut Facts)) -> Vec<&'static str> {
    let mut facts = sound();
    spoil(&mut facts);
    let findings = examine(&facts);
    assert!(
        findings.iter().all(|finding| !finding.advice.is_empty() && !finding.found.is_empty()),
        "{findings:?}"
    );
    findings.into_iter().map(|finding| finding.code).collect()
}

fn of(facts: &mut Facts, service: usize) -> &mut CheckupAnswer {
    facts.services[service].answer.as_mut().expect("an answer")
}

fn broker(facts: &mut Facts) -> &mut messaging::management::HeldVhost {
    facts.held.as_mut().expect("a broker")
}

#[test]
fn a_sound_pipeline_has_no_findings() {
    assert_eq!(found(|_| ()), [""; 0]);
    assert_eq!(sound().asked().len(), 5);
}

#[test]
fn each_fault_of_a_service_or_its_database_has_its_code() {
    type Spoil = fn(&mut CheckupAnswer);
    let faults: [(&str, Spoil); 13] = [
        ("versions_differ", |answer| answer.common.version = "1.2.4".to_owned()),
        ("retry_delays_differ", |answer| answer.common.retry_delays = "1s".to_owned()),
        ("default_merchant_differs", |answer| answer.default_merchant_id = None),
        ("database_fsync_off", |answer| answer.common.database.fsync = false),
        ("database_asynchronous_commit", |answer| {
            answer.common.database.synchronous_commit = "off".to_owned();
        }),
        ("database_version", |answer| answer.common.database.version = 140_010),
        ("partitions_missing", |answer| answer.common.database.missing_partitions.push("p".to_owned())),
        ("database_transaction_pooling", |answer| answer.common.database.pooled = Some("it is".to_owned())),
        ("database_settings", |answer| {
            answer.common.database.differing_settings.push("jit is on".to_owned());
        }),
        ("database_encoding", |answer| answer.common.database.server_encoding = "LATIN1".to_owned()),
        ("nobody_relays", |answer| answer.not_relayed = Some("nobody leads".to_owned())),
        ("pool_small", |answer| answer.common.workers = 16),
        ("retention_short", |answer| answer.common.retention_days = 4),
    ];
    for (code, spoil) in faults {
        assert_eq!(found(|facts| spoil(of(facts, 1))), [code]);
    }
    assert_eq!(found(|facts| of(facts, 0).channel_accounts = Some(0)), ["no_channel_account"]);
    assert_eq!(
        found(|facts| of(facts, 0).oldest_pending = Some(NOW - Duration::days(29))),
        ["retention_short"]
    );
}

#[test]
fn networks_are_wide_from_a_whole_private_range_on() {
    for (network, wide) in [
        ("0.0.0.0/0", true),
        ("8.0.0.0/7", true),
        ("127.0.0.0/8", false),
        ("169.254.0.0/16", true),
        ("::/0", true),
        ("fc00::/7", false),
    ] {
        assert_eq!(is_wide(network), wide, "{network}");
    }
    let wide = found(|facts| of(facts, 2).allowed_networks = vec!["0.0.0.0/0".to_owned()]);
    assert_eq!(wide, ["webhook_networks_wide"]);
}

#[test]
fn clocks_apart_warn_and_further_apart_are_errors() {
    for (seconds, severity) in
        [(4, None), (6, Some(Severity::Warning)), (-61, Some(Severity::Error)), (61, Some(Severity::Error))]
    {
        let mut of_service = sound();
        of_service.services[1].ahead = Duration::seconds(seconds);
        let mut of_database = sound();
        of(&mut of_database, 1).common.database.ahead_ms = seconds * 1000;
        for facts in [of_service, of_database] {
            let skews: Vec<_> =
                examine(&facts).into_iter().map(|finding| (finding.code, finding.severity)).collect();
            let expected: Vec<_> = severity.map(|severity| ("clock_skew", severity)).into_iter().collect();
            assert_eq!(skews, expected, "{seconds}");
        }
    }
}

#[test]
fn pools_of_all_replicas_are_set_against_their_server() {
    // Three of each: 3 × 17 + 3 × 17 + 3 × 17 > 97.
    let consumed = |facts: &mut Facts, consumers: u64| {
        let held = broker(facts);
        held.queues.iter_mut().for_each(|queue: &mut HeldQueue| queue.consumers = Some(consumers));
        let relay = HeldConnection { user_provided_name: Some("ingress relay 0".to_owned()) };
        held.connections = Some(vec![relay; usize::try_from(consumers).expect("few")]);
    };
    assert_eq!(found(|facts| consumed(facts, 1)), [""; 0]);
    assert_eq!(found(|facts| consumed(facts, 3)), ["database_connections"]);
    let apart = found(|facts| {
        consumed(facts, 3);
        for (service, day) in [(0, 1), (1, 2), (2, 3)] {
            of(facts, service).common.database.server_started_at = NOW - Duration::days(day);
        }
    });
    assert_eq!(apart, [""; 0], "a server for each");
}

#[test]
fn who_does_not_answer_is_a_finding() {
    let silent = found(|facts| facts.services[0].answer = Err("refused".to_owned()));
    assert_eq!(silent, ["service_unreachable"]);
    let away = found(|facts| {
        facts.broker = Some(Err("refused".to_owned()));
        facts.held = Err("refused".to_owned());
    });
    assert_eq!(away, ["broker_unreachable", "bindings_unseen"]);
    assert_eq!(found(|facts| facts.held = Err("refused".to_owned())), ["bindings_unseen"]);
    let unknown = found(|facts| {
        facts.broker = None;
        facts.held = Err("no URL".to_owned());
    });
    assert_eq!(unknown, ["broker_unseen"]);
    let mut nobody = sound();
    nobody.services.iter_mut().for_each(|told| told.answer = Err("refused".to_owned()));
    nobody.broker = None;
    nobody.held = Err("no URL".to_owned());
    assert!(nobody.asked().is_empty());
}

#[test]
fn the_broker_is_judged_by_its_nodes_version_and_topology() {
    let nodes = |facts: &mut Facts, change: fn(&mut HeldNode)| {
        broker(facts).nodes.as_mut().expect("nodes").iter_mut().for_each(change);
    };
    assert_eq!(found(|facts| nodes(facts, |node| node.mem_alarm = true)), ["broker_alarm"]);
    assert_eq!(found(|facts| nodes(facts, |node| node.disk_free_alarm = true)), ["broker_alarm"]);
    let low = found(|facts| nodes(facts, |node| node.disk_free_limit = Some(50_000_000)));
    assert_eq!(low, ["disk_free_limit_low"]);
    assert_eq!(found(|facts| broker(facts).nodes = None), ["alarms_unseen"]);
    for (version, is_found) in [("3.9.29", true), ("3.13.7", false), ("4.1.0", false), ("5.0.0", true)] {
        let expected: &[&str] = if is_found { &["broker_version"] } else { &[] };
        assert_eq!(found(|facts| broker(facts).version = version.to_owned()), expected, "{version}");
    }
    let unbound =
        found(|facts| broker(facts).bindings.retain(|held| held.destination != "trade.pay.success.queue"));
    assert_eq!(unbound, ["binding_missing"]);
}
