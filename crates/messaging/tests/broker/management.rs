//! What the management API of a real broker shows, and what is found in it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use devstack::testing::{Vhost, servers};
use lapin::Channel;
use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use messaging::management::{HeldVhost, Management, ManagementError};
use messaging::{Broker, EXCHANGE, RetryDelays, Topology};
use serde_json::{Value, json};

use crate::support::DEADLINE;

/// A vhost with the topology, and how it is looked at.
struct Fixture {
    vhost: Vhost,
    broker: Broker,
    channel: Channel,
    management: Management,
}

impl Fixture {
    async fn new() -> Self {
        let vhost = tokio::task::spawn_blocking(Vhost::create).await.unwrap();
        let broker = Broker::new(vhost.amqp_url(), "test").unwrap();
        broker.declare(&Topology::payrelay(&RetryDelays::default())).await.unwrap();
        let channel = broker.connect().await.unwrap().create_channel().await.unwrap();
        let management = Management::new(&servers().management_url, &broker).unwrap();
        Self { vhost, broker, channel, management }
    }

    /// Declares a queue of somebody else and binds it to [`EXCHANGE`].
    async fn foreign(&self, name: &str, arguments: &[(&str, AMQPValue)]) {
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert((*name).into(), value.clone());
        }
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(name.into(), durable, table).await.unwrap();
        self.bind(name, "pay.success").await;
    }

    async fn bind(&self, queue: &str, key: &str) {
        let options = QueueBindOptions::default();
        let bound = self.channel.queue_bind(
            queue.into(),
            EXCHANGE.into(),
            key.into(),
            options,
            FieldTable::default(),
        );
        bound.await.unwrap();
    }

    /// Makes a policy (`policies`) or an operator's (`operator-policies`) for the queues of a name.
    async fn policy(&self, kind: &str, queue: &str, definition: Value) {
        let url = format!("{}/api/{kind}/{}/{queue}", servers().management_url, self.vhost.name());
        let pattern = format!("^{}$", queue.replace('.', "\\."));
        let body = json!({"pattern": pattern, "definition": definition, "apply-to": "queues", "priority": 1});
        let request = transport::http_client().build().unwrap().put(url).basic_auth("guest", Some("guest"));
        let request = request.header("content-type", "application/json").body(body.to_string());
        request.send().await.unwrap().error_for_status().unwrap();
    }

    /// Waits until exactly these (code, queue) are found: what the API shows is a moment behind.
    async fn finds(&self, expected: &[(&'static str, &str)]) -> HeldVhost {
        let expected: BTreeSet<_> =
            expected.iter().map(|(code, queue)| (*code, format!("queue {queue}"))).collect();
        let deadline = Instant::now() + DEADLINE;
        loop {
            let held = self.management.read().await.unwrap();
            let findings = held.examine(&Topology::payrelay(&RetryDelays::default()));
            let found: BTreeSet<_> =
                findings.iter().map(|finding| (finding.code, finding.subject.clone())).collect();
            if found == expected {
                return held;
            }
            assert!(Instant::now() < deadline, "expected {expected:?}, found {findings:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn a_sound_broker_is_read_whole_and_has_no_findings() {
    let fixture = Fixture::new().await;
    let held = fixture.finds(&[]).await;
    assert!(held.version.starts_with(['3', '4']), "{}", held.version);
    assert_eq!(held.queues.len(), 3 + 2 * 8);
    // A node's own figures come a few seconds after its start.
    let deadline = Instant::now() + DEADLINE;
    loop {
        let nodes = fixture.management.read().await.unwrap().nodes.unwrap();
        if !nodes.is_empty() && nodes.iter().all(|node| node.disk_free_limit.is_some()) {
            assert!(nodes.iter().all(|node| !node.mem_alarm && !node.disk_free_alarm), "{nodes:?}");
            return;
        }
        assert!(Instant::now() < deadline, "{nodes:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn bindings_are_seen() {
    let fixture = Fixture::new().await;
    let (queue, other) = ("trade.pay.success.queue", "merchant.pay.failed.queue");
    let unbound = fixture.channel.queue_unbind(
        queue.into(),
        EXCHANGE.into(),
        "pay.success".into(),
        FieldTable::default(),
    );
    unbound.await.unwrap();
    fixture.bind(other, "pay.success").await;
    fixture.finds(&[("binding_missing", queue), ("binding_foreign", other)]).await;
    fixture.broker.declare(&Topology::payrelay(&RetryDelays::default())).await.unwrap();
    fixture.finds(&[("binding_foreign", other)]).await;
}

#[tokio::test]
async fn a_foreign_queue_that_may_refuse_is_found_by_argument_and_by_policy() {
    let fixture = Fixture::new().await;
    let refuse = ("x-overflow", AMQPValue::LongString("reject-publish".into()));
    fixture
        .foreign("risk.by-argument", &[refuse.clone(), ("x-max-length", AMQPValue::LongLongInt(10))])
        .await;
    fixture.foreign("risk.by-policy", &[]).await;
    fixture.foreign("risk.by-both", &[refuse]).await;
    fixture.foreign("risk.harmless", &[("x-max-length", AMQPValue::LongLongInt(10))]).await;
    let limit = json!({"max-length-bytes": 1000, "overflow": "reject-publish"});
    fixture.policy("policies", "risk.by-policy", limit).await;
    fixture.policy("operator-policies", "risk.by-both", json!({"max-length": 5})).await;
    let refuses = ["risk.by-argument", "risk.by-policy", "risk.by-both"];
    fixture.finds(&refuses.map(|queue| ("foreign_queue_refuses", queue))).await;
}

#[tokio::test]
async fn policies_that_lose_messages_are_found() {
    let fixture = Fixture::new().await;
    let (main, dead) = ("trade.pay.success.queue", "merchant.pay.success.queue.dlq");
    fixture.policy("policies", main, json!({"message-ttl": 60_000})).await;
    fixture.policy("operator-policies", dead, json!({"max-length": 1000})).await;
    fixture.policy("policies", "pay.retry.5s", json!({"max-length": 1000})).await;
    fixture.finds(&[("queue_policy_loses", main), ("queue_policy_loses", dead)]).await;
}

#[tokio::test]
async fn other_arguments_are_named() {
    let fixture = Fixture::new().await;
    let queue = "trade.pay.closed.queue";
    fixture.channel.queue_delete(queue.into(), lapin::options::QueueDeleteOptions::default()).await.unwrap();
    fixture.foreign(queue, &[("x-queue-type", AMQPValue::LongString("quorum".into()))]).await;
    fixture
        .finds(&[
            ("queue_delivery_limit", queue),
            ("queue_dead_letters", queue),
            ("queue_arguments", queue),
            ("binding_missing", queue),
            ("binding_foreign", queue),
        ])
        .await;
}

#[tokio::test]
async fn who_cannot_be_read_is_an_error_without_the_password() {
    let fixture = Fixture::new().await;
    let broker = Broker::new("amqp://guest:hunter2@127.0.0.1", "test").unwrap();
    for url in [servers().management_url.as_str(), "http://127.0.0.1:1", "http://127.0.0.1:1/path"] {
        let error = Management::new(url, &broker).unwrap().read().await.unwrap_err();
        assert!(matches!(error, ManagementError::Unreadable { .. }), "{error:?}");
        assert!(error.to_string().contains(url) && !format!("{error:?}").contains("hunter2"), "{error}");
    }
    drop(fixture);
}
