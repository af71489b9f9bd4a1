//! What a broker holds, compared with what it must hold. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{HeldBinding, HeldExchange, HeldQueue, HeldVhost};
use crate::inspection::{DECLARE, REPLACE_EXCHANGE, REPLACE_QUEUE};
use crate::topology::{Exchange, Queue};
use crate::{DoctorFinding, EXCHANGE, FindingKind, Topology};

const DROP_POLICY: &str =
    "take it off our queues: rabbitmqctl clear_policy or clear_operator_policy, or narrow its pattern";

impl HeldVhost {
    /// Compares it with `topology`: exchanges, queues, bindings and policies.
    pub fn examine(&self, topology: &Topology) -> Vec<DoctorFinding> {
        let mut findings = Vec::new();
        for exchange in topology.exchanges() {
            match self.exchanges.iter().find(|held| held.name == exchange.name) {
                None => findings.push(missing("exchange_missing", format!("exchange {}", exchange.name))),
                Some(held) => findings.extend(self.exchange(&exchange, held)),
            }
        }
        let queues = topology.queues();
        for queue in &queues {
            match self.queues.iter().find(|held| held.name == queue.name) {
                None => findings.push(missing("queue_missing", format!("queue {}", queue.name))),
                Some(held) => {
                    findings.extend(differences(queue, held));
                    findings.extend(losing_policies(queue, held));
                    findings.extend(self.bindings_of(queue));
                }
            }
        }
        let own: BTreeSet<_> = queues.iter().map(|queue| queue.name.as_str()).collect();
        let roots = topology.exchanges().into_iter().map(|exchange| exchange.name).collect();
        let reached = self.reached_from(roots);
        let foreign = self.queues.iter().filter(|held| !own.contains(held.name.as_str()));
        findings.extend(foreign.filter(|held| reached.contains(&held.name)).filter_map(refusing));
        findings
    }

    /// What is wrong with an exchange that is there.
    fn exchange(&self, expected: &Exchange, held: &HeldExchange) -> Vec<DoctorFinding> {
        let subject = format!("exchange {}", expected.name);
        let mut findings = Vec::new();
        let plain = held.durable && !held.auto_delete && !held.internal && held.arguments.is_empty();
        if held.kind != expected.kind || !plain {
            let found = format!(
                "{}, durable={}, auto_delete={}, internal={}, arguments {}",
                held.kind,
                held.durable,
                held.auto_delete,
                held.internal,
                Value::from(held.arguments.clone())
            );
            let wanted = format!("{}, durable, without arguments", expected.kind);
            findings.push(DoctorFinding::error(
                "exchange_different",
                &subject,
                (wanted, found),
                REPLACE_EXCHANGE,
            ));
        }
        let policy = self.policies.iter().find(|policy| held.policy.as_ref() == Some(&policy.name));
        if let Some(alternate) = policy.and_then(|policy| policy.definition.get("alternate-exchange")) {
            // What goes there counts as routed: it would be confirmed and deleted from the outbox.
            findings.push(DoctorFinding::error(
                "exchange_policy_loses",
                subject,
                ("no alternate exchange", format!("alternate-exchange={alternate} by policy")),
                "take the policy off: events that no queue is bound for would be taken for delivered",
            ));
        }
        findings
    }

    /// Bindings that an own queue lacks, and those that it should not have.
    fn bindings_of(&self, queue: &Queue) -> Vec<DoctorFinding> {
        let subject = format!("queue {}", queue.name);
        let is_own = |held: &HeldBinding| {
            queue.binding.as_ref().is_some_and(|(exchange, key)| {
                held.source == *exchange && (held.routing_key == *key || key.is_empty())
            })
        };
        // Every queue is bound to the default exchange by its name.
        let bound: Vec<_> = self
            .bindings
            .iter()
            .filter(|held| held.destination_type == "queue" && held.destination == queue.name)
            .filter(|held| !held.source.is_empty())
            .collect();
        let mut findings = Vec::new();
        if let Some((exchange, key)) =
            queue.binding.as_ref().filter(|_| !bound.iter().any(|held| is_own(held)))
        {
            let wanted = format!("a binding to {exchange} by {key:?}");
            let to_do = "bind it: payrelay topology apply; events of that key do not reach it meanwhile";
            findings.push(DoctorFinding::error("binding_missing", &subject, (wanted, "none"), to_do));
        }
        for held in bound.into_iter().filter(|held| !is_own(held)) {
            let found = format!("a binding to {} by {:?}", held.source, held.routing_key);
            let wanted = match &queue.binding {
                Some((exchange, key)) => format!("no binding but that to {exchange} by {key:?}"),
                None => "no binding: only dead letters come here".to_owned(),
            };
            let to_do = "unbind it (rabbitmqadmin, or the management page): its consumer cannot use what comes that way";
            findings.push(DoctorFinding::error("binding_foreign", &subject, (wanted, found), to_do));
        }
        findings
    }

    /// The queues that are bound to one of these exchanges, directly or by exchanges in between, whatever the key.
    fn reached_from(&self, mut exchanges: Vec<String>) -> BTreeSet<String> {
        let (mut seen, mut queues) = (BTreeSet::new(), BTreeSet::new());
        while let Some(exchange) = exchanges.pop() {
            if !seen.insert(exchange.clone()) {
                continue;
            }
            for held in self.bindings.iter().filter(|held| held.source == exchange) {
                if held.destination_type == "exchange" {
                    exchanges.push(held.destination.clone());
                } else {
                    queues.insert(held.destination.clone());
                }
            }
        }
        queues
    }
}

fn missing(code: &'static str, subject: String) -> DoctorFinding {
    DoctorFinding::error(code, subject, ("it", "none"), DECLARE).of_kind(FindingKind::Missing)
}

/// Type and arguments that are other than declared: the broker refuses the declaration of such a queue.
fn differences(expected: &Queue, held: &HeldQueue) -> Vec<DoctorFinding> {
    let names: BTreeSet<_> = expected.arguments.keys().chain(held.arguments.keys()).collect();
    let mut findings: Vec<_> = names
        .into_iter()
        .filter(|name| expected.arguments.get(*name) != held.arguments.get(*name))
        .map(|name| {
            let code = match name.as_str() {
                "x-queue-type" => "queue_type",
                "x-delivery-limit" => "queue_delivery_limit",
                "x-message-ttl" => "queue_ttl",
                dead if dead.starts_with("x-dead-letter-") => "queue_dead_letters",
                _ => "queue_arguments",
            };
            let show = |arguments: &Map<String, Value>| match arguments.get(name) {
                Some(value) => format!("{name}={value}"),
                None => format!("no {name}"),
            };
            let compared = (show(&expected.arguments), show(&held.arguments));
            DoctorFinding::error(code, format!("queue {}", expected.name), compared, REPLACE_QUEUE)
        })
        .collect();
    if !held.durable || held.auto_delete {
        let found = format!("durable={}, auto_delete={}", held.durable, held.auto_delete);
        let compared = ("a durable queue that stays", found);
        findings.push(DoctorFinding::error(
            "queue_arguments",
            format!("queue {}", expected.name),
            compared,
            REPLACE_QUEUE,
        ));
    }
    findings
}

/// Policies, of users or operators, under which an own queue would lose or mislead messages. A limit of length does not on
/// queues that refuse when they are full.
fn losing_policies(queue: &Queue, held: &HeldQueue) -> Vec<DoctorFinding> {
    let policy = &held.effective_policy_definition;
    let number = |arguments: &Map<String, Value>, name: &str| arguments.get(name).and_then(Value::as_i64);
    let text = |arguments: &Map<String, Value>, name: &str| {
        arguments.get(name).and_then(Value::as_str).map(str::to_owned)
    };
    // Arguments go before policies.
    let overflow = text(&queue.arguments, "x-overflow").or_else(|| text(policy, "overflow"));
    let drops_when_full = overflow.as_deref() != Some("reject-publish");
    let has_dead_letter_key = queue.arguments.contains_key("x-dead-letter-routing-key");
    let is_retry = queue.arguments.contains_key("x-message-ttl");
    let lower_limit = |limit: i64| {
        number(&queue.arguments, "x-delivery-limit").is_some_and(|own| (0..own).contains(&limit))
    };
    let by = [held.policy.as_deref(), held.operator_policy.as_deref()];
    let by = by.into_iter().flatten().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" and ");
    let losing = policy.iter().filter_map(|(name, value)| {
        let why = match name.as_str() {
            "message-ttl" if is_retry => "messages may come home at another time than its name says",
            "message-ttl" => "messages leave it unhandled",
            "expires" => "the queue goes with all that is in it",
            "max-length" | "max-length-bytes" if drops_when_full => "the oldest messages are dropped",
            "delivery-limit" if value.as_i64().is_some_and(lower_limit) => {
                "messages leave it after too few deliveries"
            }
            "dead-letter-routing-key" if is_retry && !has_dead_letter_key => {
                "messages do not find home to their queue"
            }
            _ => return None,
        };
        let found = format!("{name}={value} by policy {by}: {why}");
        let compared = (format!("no policy with {name}"), found);
        let finding = DoctorFinding::error(
            "queue_policy_loses",
            format!("queue {}", queue.name),
            compared,
            DROP_POLICY,
        );
        Some(finding.of_kind(FindingKind::PolicyLoses))
    });
    losing.collect()
}

/// A queue of somebody else's that stops everybody's publishes once it is full.
fn refusing(held: &HeldQueue) -> Option<DoctorFinding> {
    let policy = &held.effective_policy_definition;
    let setting = |name: &str| held.arguments.get(&format!("x-{name}")).or_else(|| policy.get(name));
    let overflow = setting("overflow").and_then(Value::as_str)?;
    let limits = ["max-length", "max-length-bytes"];
    let (limit, most) = limits.into_iter().find_map(|name| Some((name, setting(name)?)))?;
    overflow.starts_with("reject-publish").then(|| {
        DoctorFinding::error(
            "foreign_queue_refuses",
            format!("queue {}", held.name),
            (
                format!("a queue bound to {EXCHANGE} takes every message"),
                format!("overflow={overflow} with {limit}={most}: full, it stops the publishes of all"),
            ),
            "ask its owners to take the limit off or to drop the oldest (overflow drop-head), or unbind it",
        )
    })
}

#[cfg(test)]
mod tests;
