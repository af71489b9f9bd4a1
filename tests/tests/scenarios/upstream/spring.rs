//! What Spring's templates publish, property by property: the messages of the vectors that the codec is tested with, and none
//! left out.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use scenarios::{DEFAULT_MERCHANT, Pipeline, Sandbox, until};
use serde_json::{Value, json};

use super::{paid, start, success};

const VECTORS: &str = include_str!("../../../../crates/events/tests/vectors/spring_amqp.json");
const QUEUES: [&str; 2] = ["trade.pay.success.queue", "merchant.pay.success.queue"];

/// A message, and what is to become of it.
struct Case {
    name: String,
    properties: BasicProperties,
    body: Vec<u8>,
    /// The order that it pays; `None` if it is refused.
    order_no: Option<String>,
}

fn cases() -> Vec<Case> {
    let vectors: Value = serde_json::from_str(VECTORS).expect("JSON");
    assert_eq!(vectors["publish"], json!({"exchange": "pay.direct", "routing_key": "pay.success"}));
    let case = |message: &Value| {
        let decoded = match &message["decoded"] {
            Value::Null => None,
            Value::String(order_no) => Some(order_no.clone()),
            Value::Object(fields) => fields["orderNo"].as_str().map(str::to_owned),
            number => Some(number.to_string()),
        };
        assert_eq!(decoded.is_none(), message["expect"].is_string(), "{message}");
        Case {
            name: message["name"].to_string(),
            properties: properties(&message["properties"]),
            body: STANDARD.decode(message["body_base64"].as_str().expect("a body")).expect("base64"),
            order_no: decoded,
        }
    };
    vectors["messages"].as_array().expect("messages").iter().map(case).collect()
}

/// Exactly those of the vector: one that is not known here fails the test.
fn properties(vector: &Value) -> BasicProperties {
    let mut properties = BasicProperties::default();
    for (name, value) in vector.as_object().expect("properties") {
        let text = || value.as_str().expect("text").into();
        let number = || u8::try_from(value.as_u64().expect("a number")).expect("a small number");
        properties = match name.as_str() {
            "delivery_mode" => properties.with_delivery_mode(number()),
            "priority" => properties.with_priority(number()),
            "content_type" => properties.with_content_type(text()),
            "content_encoding" => properties.with_content_encoding(text()),
            "headers" => {
                let mut headers = FieldTable::default();
                for (name, value) in value.as_object().expect("headers") {
                    let text = value.as_str().expect("text");
                    headers.insert(name.as_str().into(), AMQPValue::LongString(text.into()));
                }
                properties.with_headers(headers)
            }
            other => panic!("{other} is no property that is published here"),
        };
    }
    properties
}

/// Rounds in each of which no order is paid twice, so that every message is seen to pay by itself.
fn rounds(cases: Vec<Case>) -> Vec<Vec<Case>> {
    let mut rounds: Vec<(BTreeSet<String>, Vec<Case>)> = Vec::new();
    for case in cases {
        let order_no = case.order_no.clone().unwrap_or_else(|| case.name.clone());
        let free = rounds.iter().position(|(taken, _)| !taken.contains(&order_no));
        let round = free.unwrap_or_else(|| {
            rounds.push(Default::default());
            rounds.len() - 1
        });
        rounds[round].0.insert(order_no);
        rounds[round].1.push(case);
    }
    rounds.into_iter().map(|(_, cases)| cases).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_of_a_spring_template_pays_its_order_or_is_dead_lettered() {
    let cases = cases();
    assert!(cases.len() >= 13 && cases.iter().filter(|case| case.order_no.is_none()).count() >= 3);
    for round in rounds(cases) {
        pays_or_is_dead_lettered(&round).await;
    }
}

async fn pays_or_is_dead_lettered(round: &[Case]) {
    let sandbox = Sandbox::start().await;
    let (pipeline, shop, publisher) = start(&sandbox).await;
    let good: Vec<_> = round.iter().filter_map(|case| case.order_no.as_ref()).collect();
    for order_no in &good {
        shop.create_order(order_no, 1999).await;
    }
    for case in round {
        publisher.publish_with("pay.success", case.properties.clone(), &case.body).await;
    }
    for order_no in &good {
        let order = paid(&shop, order_no).await;
        assert_eq!(order["payment"], Value::Null, "a bare number tells no facts: {order}");
    }

    let refused: BTreeMap<_, _> = round
        .iter()
        .filter(|case| case.order_no.is_none())
        .map(|case| (case.body.clone(), &case.name))
        .collect();
    for queue in QUEUES {
        let mut dead = BTreeMap::new();
        for _ in &refused {
            let (headers, body) = publisher.take(&format!("{queue}.dlq")).await;
            assert_eq!(headers["x-payrelay-reason"], "undecodable", "{headers}");
            dead.insert(body.clone(), refused[&body]);
        }
        assert_eq!(dead, refused, "{queue}");
    }
    nothing_else_happened(&pipeline, &publisher, good.len()).await;
    assert_eq!(sandbox.received().len(), 0, "a bare order number has nothing to tell a merchant");
}

/// The notifier has skipped each bare order number, all queues are empty, and nothing was dead-lettered besides.
async fn nothing_else_happened(pipeline: &Pipeline, publisher: &super::Publisher, skipped: usize) {
    let metrics = format!("{}/metrics", pipeline.notifier[0].admin_url);
    let expected = format!("payrelay_notifier_skipped_total {skipped}");
    until(&expected, async || {
        let answer =
            scenarios::http_client().get(&metrics).send().await.map_err(|error| error.to_string())?;
        let text = answer.text().await.map_err(|error| error.to_string())?;
        if text.lines().any(|line| line == expected) { Ok(()) } else { Err(text) }
    })
    .await;
    for queue in QUEUES {
        until(&format!("empty {queue}"), async || match pipeline.servers.vhost().queue_depth(queue) {
            Some(0) => Ok(()),
            depth => Err(format!("{depth:?}")),
        })
        .await;
        assert_eq!(publisher.get(&format!("{queue}.dlq")).await, None, "{queue}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proto3_json_of_a_spring_template_pays_and_is_told() {
    let sandbox = Sandbox::start().await;
    let (_pipeline, shop, publisher) = start(&sandbox).await;
    // As a converter writes it that keeps the schema's own names, and numbers as numbers.
    let camel = success(DEFAULT_MERCHANT, "J-1");
    let snake = json!({
        "event_id": uuid::Uuid::now_v7(), "type": 1, "merchant_id": DEFAULT_MERCHANT, "order_no": "J-2", "pay_order_no": "UP-J-2",
        "version": 1, "status": 3, "amount_minor": 1999, "currency": "CNY", "channel": "upstream",
        "paid_at": camel["paidAt"], "occurred_at": camel["occurredAt"],
    });
    let spring = json!({
        "delivery_mode": 2, "priority": 0, "content_type": "application/json", "content_encoding": "UTF-8",
        "headers": {"__TypeId__": "com.google.protobuf.Message"},
    });
    for (order_no, event) in [("J-1", camel), ("J-2", snake)] {
        shop.create_order(order_no, 1999).await;
        publisher.publish_with("pay.success", properties(&spring), event.to_string().as_bytes()).await;
        assert_eq!(paid(&shop, order_no).await["payment"]["pay_order_no"], format!("UP-{order_no}"));
        until(&format!("webhook about {order_no}"), async || {
            sandbox.received_of(order_no).pop().ok_or("none".to_owned())
        })
        .await;
    }
}
