use serde_json::json;

use super::*;
use crate::{RetryDelays, definitions};

const MAIN: &str = "trade.pay.success.queue";
const RETRY: &str = "pay.retry.30s";
const DEAD: &str = "trade.pay.success.queue.dlq";

fn topology() -> Topology {
    Topology::payrelay(&RetryDelays::default())
}

/// A broker that loaded the definitions.
fn sound() -> HeldVhost {
    let definitions = definitions(&topology(), "/");
    let mut held = HeldVhost {
        exchanges: serde_json::from_value(definitions["exchanges"].clone()).unwrap(),
        queues: serde_json::from_value(definitions["queues"].clone()).unwrap(),
        bindings: serde_json::from_value(definitions["bindings"].clone()).unwrap(),
        ..HeldVhost::default()
    };
    let by_name: Vec<_> = held.queues.iter().map(|queue| bound("", &queue.name, &queue.name)).collect();
    held.bindings.extend(by_name);
    held
}

fn bound(source: &str, destination: &str, key: &str) -> HeldBinding {
    let [source, destination, routing_key] = [source, destination, key].map(str::to_owned);
    HeldBinding { source, destination, destination_type: "queue".to_owned(), routing_key }
}

fn map(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else { panic!("{value} is no object") };
    map
}

fn foreign(arguments: Value) -> HeldQueue {
    let arguments = map(arguments);
    HeldQueue { name: "risk.queue".to_owned(), durable: true, arguments, ..HeldQueue::default() }
}

/// Code and subject of what is found after `spoil`.
fn found(spoil: impl FnOnce(&mut HeldVhost)) -> Vec<(&'static str, String)> {
    let mut held = sound();
    spoil(&mut held);
    held.examine(&topology()).into_iter().map(|finding| (finding.code, finding.subject)).collect()
}

fn queue<'a>(held: &'a mut HeldVhost, name: &str) -> &'a mut HeldQueue {
    held.queues.iter_mut().find(|queue| queue.name == name).unwrap()
}

#[test]
fn a_sound_broker_has_no_findings() {
    assert_eq!(found(|_| ()), []);
}

#[test]
fn missing_things_and_bindings_are_found() {
    let gone = found(|held| {
        held.exchanges.retain(|exchange| exchange.name != RETRY);
        held.queues.retain(|queue| queue.name != DEAD);
        held.bindings.retain(|held| held.destination != MAIN || held.source.is_empty());
    });
    let expected = [
        ("exchange_missing", format!("exchange {RETRY}")),
        ("queue_missing", format!("queue {DEAD}")),
        ("binding_missing", format!("queue {MAIN}")),
    ];
    assert_eq!(gone, expected);
}

#[test]
fn bindings_that_should_not_be_are_found() {
    for (source, destination, key) in [
        (EXCHANGE, MAIN, "pay.failed"),
        ("theirs", MAIN, "pay.success"),
        (EXCHANGE, DEAD, "pay.success"),
        ("pay.retry.5s", RETRY, ""),
    ] {
        let found = found(|held| held.bindings.push(bound(source, destination, key)));
        assert_eq!(found, [("binding_foreign", format!("queue {destination}"))], "{source} {key}");
    }
    // A fanout exchange ignores the key.
    assert_eq!(found(|held| held.bindings.push(bound(RETRY, RETRY, "any"))), []);
}

#[test]
fn other_arguments_are_found_by_what_they_do() {
    for (name, argument, value, code) in [
        (MAIN, "x-queue-type", json!("classic"), "queue_type"),
        (MAIN, "x-delivery-limit", json!(2), "queue_delivery_limit"),
        (MAIN, "x-dead-letter-exchange", json!("theirs"), "queue_dead_letters"),
        (MAIN, "x-dead-letter-strategy", json!("at-most-once"), "queue_dead_letters"),
        (MAIN, "x-overflow", json!("drop-head"), "queue_arguments"),
        (MAIN, "x-max-length", json!(10), "queue_arguments"),
        (RETRY, "x-message-ttl", json!(31_000), "queue_ttl"),
        (DEAD, "x-delivery-limit", json!(20), "queue_delivery_limit"),
    ] {
        let found = found(|held| {
            queue(held, name).arguments.insert(argument.to_owned(), value);
        });
        assert_eq!(found, [(code, format!("queue {name}"))], "{argument}");
    }
    let no_dead_letters = found(|held| {
        queue(held, MAIN).arguments.remove("x-dead-letter-exchange");
    });
    assert_eq!(no_dead_letters, [("queue_dead_letters", format!("queue {MAIN}"))]);
    let transient = found(|held| queue(held, MAIN).durable = false);
    assert_eq!(transient, [("queue_arguments", format!("queue {MAIN}"))]);
}

#[test]
fn policies_are_found_where_they_lose_messages_and_only_there() {
    for (name, policy, is_found) in [
        (MAIN, json!({"message-ttl": 1000}), true),
        (RETRY, json!({"message-ttl": 1000}), true),
        (DEAD, json!({"message-ttl": 1000}), true),
        (MAIN, json!({"expires": 1000}), true),
        (MAIN, json!({"max-length": 1000, "overflow": "drop-head"}), false),
        (RETRY, json!({"max-length-bytes": 1000}), false),
        (DEAD, json!({"max-length": 1000}), true),
        (DEAD, json!({"max-length": 1000, "overflow": "reject-publish"}), false),
        (MAIN, json!({"delivery-limit": 3}), true),
        (MAIN, json!({"delivery-limit": 20}), false),
        (DEAD, json!({"delivery-limit": 20}), true),
        (DEAD, json!({"delivery-limit": -1}), false),
        (RETRY, json!({"dead-letter-routing-key": "elsewhere"}), true),
        (MAIN, json!({"dead-letter-routing-key": "elsewhere"}), false),
        (MAIN, json!({"target-group-size": 5}), false),
    ] {
        let found = found(|held| queue(held, name).effective_policy_definition = map(policy.clone()));
        let expected = [("queue_policy_loses", format!("queue {name}"))];
        assert_eq!(found, if is_found { &expected[..] } else { &[] }, "{name} {policy}");
    }
}

#[test]
fn an_exchange_of_another_kind_or_with_an_alternate_is_found() {
    let name = format!("exchange {EXCHANGE}");
    let topic = found(|held| held.exchanges[0].kind = "topic".to_owned());
    assert_eq!(topic, [("exchange_different", name.clone())]);
    let alternate = map(json!({"alternate-exchange": "lost"}));
    let by_argument = found(|held| held.exchanges[0].arguments = alternate.clone());
    assert_eq!(by_argument, [("exchange_different", name.clone())]);
    let by_policy = found(|held| {
        held.exchanges[0].policy = Some("alternate".to_owned());
        let definition = alternate.clone().into_iter().collect();
        held.policies.push(super::super::HeldPolicy { name: "alternate".to_owned(), definition });
    });
    assert_eq!(by_policy, [("exchange_policy_loses", name)]);
}

#[test]
fn a_foreign_queue_is_found_where_it_may_refuse() {
    for (arguments, policy, is_found) in [
        (json!({}), json!({}), false),
        (json!({"x-max-length": 10}), json!({}), false),
        (json!({"x-overflow": "reject-publish"}), json!({}), false),
        (json!({"x-overflow": "reject-publish", "x-max-length": 10}), json!({}), true),
        (json!({"x-overflow": "reject-publish-dlx", "x-max-length-bytes": 10}), json!({}), true),
        (json!({}), json!({"overflow": "reject-publish", "max-length": 10}), true),
        (json!({"x-overflow": "reject-publish"}), json!({"max-length": 10}), true),
        (json!({"x-overflow": "drop-head"}), json!({"overflow": "reject-publish", "max-length": 10}), false),
    ] {
        let theirs = HeldQueue { effective_policy_definition: map(policy), ..foreign(arguments.clone()) };
        let expected = [("foreign_queue_refuses", "queue risk.queue".to_owned())];
        let expected = if is_found { &expected[..] } else { &[] };
        let directly = found(|held| {
            held.queues.push(theirs.clone());
            held.bindings.push(bound(EXCHANGE, "risk.queue", "pay.success"));
        });
        assert_eq!(directly, expected, "{theirs:?}");
        let by_exchanges = found(|held| {
            held.queues.push(theirs.clone());
            // In a circle, which must end.
            for (source, destination) in [(EXCHANGE, "theirs"), ("theirs", EXCHANGE)] {
                let hop = HeldBinding {
                    destination_type: "exchange".to_owned(),
                    ..bound(source, destination, "k")
                };
                held.bindings.push(hop);
            }
            held.bindings.push(bound("theirs", "risk.queue", "k"));
        });
        assert_eq!(by_exchanges, expected, "{theirs:?}");
        let elsewhere = found(|held| held.queues.push(theirs.clone()));
        assert_eq!(elsewhere, [], "not bound to our exchange: none of our business");
    }
}
