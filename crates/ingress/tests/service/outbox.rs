//! Publishing: a broker that is away, and events that no queue takes.

use devstack::{Stack, StackOptions};
use events::EventId;
use futures_util::future::join_all;
use lapin::options::{QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use messaging::{Broker, ConsumerQueue, EXCHANGE, RetryDelays, Topology};
use reqwest::{Method, StatusCode};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::support::{Ingress, World, count, event, eventually, paid, read, refunded, take};

#[tokio::test]
async fn without_a_broker_callbacks_are_taken_and_later_all_is_published() {
    let stack = Stack::start(&StackOptions::default()).unwrap();
    stack.rabbitmq().stop().unwrap();
    let amqp_url = stack.rabbitmq().amqp_url();
    let ingress = Ingress::start(&stack.postgres().database_url(), &amqp_url, &[]).await;
    let numbers = join_all((0..20).map(|order| {
        let ingress = &ingress;
        async move { ingress.pay_order(&order.to_string()).await }
    }))
    .await;
    for number in &numbers {
        assert_eq!(ingress.callback(&paid(number)).await, StatusCode::NO_CONTENT);
        assert_eq!(ingress.callback(&refunded(number, 1)).await, StatusCode::NO_CONTENT);
    }
    assert_eq!(ingress.pending().await, 40);
    let ready = ingress.http.get(format!("{}/readyz", ingress.admin_url)).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    let checks: serde_json::Value = ready.json().await.unwrap();
    assert!(checks["checks"]["rabbitmq"].as_str().unwrap().starts_with("degraded"), "{checks}");

    stack.rabbitmq().start().unwrap();
    eventually("everything is published", async || (ingress.pending().await == 0).then_some(())).await;
    for queue in ["trade.pay.success.queue", "merchant.pay.refunded.queue"] {
        let mut told: Vec<_> = take(&amqp_url, queue, 20)
            .await
            .iter()
            .map(|message| event(message).order.pay_order_no)
            .collect();
        told.sort();
        assert!(
            told.iter().eq(&numbers.iter().cloned().collect::<std::collections::BTreeSet<_>>()),
            "{queue}: {told:?}"
        );
    }
}

#[tokio::test]
async fn a_broker_that_crashes_loses_nothing() {
    let stack = Stack::start(&StackOptions::default()).unwrap();
    let amqp_url = stack.rabbitmq().amqp_url();
    let ingress = Ingress::start(&stack.postgres().database_url(), &amqp_url, &[]).await;
    let mut numbers = std::collections::BTreeSet::new();
    for order in 0..60 {
        let number = ingress.pay_order(&order.to_string()).await;
        if order == 20 {
            stack.rabbitmq().kill().unwrap();
        }
        if order == 40 {
            stack.rabbitmq().start().unwrap();
        }
        assert_eq!(ingress.callback(&paid(&number)).await, StatusCode::NO_CONTENT);
        numbers.insert(number);
    }
    eventually("everything is published", async || (ingress.pending().await == 0).then_some(())).await;
    let mut told = std::collections::BTreeSet::new();
    // Whatever was in flight at the crash may be there twice.
    while told.len() < numbers.len() {
        told.extend(
            take(&amqp_url, "trade.pay.success.queue", 1)
                .await
                .iter()
                .map(|message| event(message).order.pay_order_no),
        );
    }
    assert_eq!(told, numbers);
}

#[tokio::test]
async fn what_no_queue_takes_stays_pending_while_others_go_on() {
    let world = World::create();
    let ingress = world.ingress(&[]).await;
    let first = ingress.pay_order("first").await;
    assert_eq!(ingress.callback(&paid(&first)).await, StatusCode::NO_CONTENT);
    take(world.vhost.amqp_url(), "trade.pay.success.queue", 1).await;
    let bound = async |bound: bool| {
        let connection = Broker::new(world.vhost.amqp_url(), "test").unwrap().connect().await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        for queue in ["trade.pay.refunded.queue", "merchant.pay.refunded.queue"] {
            let (queue, exchange, key) = (queue.into(), EXCHANGE.into(), "pay.refunded".into());
            if bound {
                channel
                    .queue_bind(queue, exchange, key, QueueBindOptions::default(), FieldTable::default())
                    .await
                    .unwrap();
            } else {
                channel.queue_unbind(queue, exchange, key, FieldTable::default()).await.unwrap();
            }
        }
    };
    bound(false).await;
    assert_eq!(ingress.callback(&refunded(&first, 5)).await, StatusCode::NO_CONTENT);
    let second = ingress.pay_order("second").await;
    assert_eq!(ingress.callback(&paid(&second)).await, StatusCode::NO_CONTENT);
    let told = event(&take(world.vhost.amqp_url(), "trade.pay.success.queue", 1).await[0]);
    assert_eq!(told.order.pay_order_no, second);

    let returned = async || {
        let refund = ingress.traced("first", "pay.refunded").await;
        (refund["returned"].as_i64() > Some(0)).then_some(refund)
    };
    let refund = eventually("the refund is returned", returned).await;
    assert_eq!(refund["published"], json!(false));
    assert_eq!(ingress.pending().await, 1);
    let gauge = async || {
        let metrics =
            ingress.http.request(Method::GET, format!("{}/metrics", ingress.admin_url)).send().await.unwrap();
        metrics.text().await.unwrap().contains("payrelay_outbox_unroutable").then_some(())
    };
    eventually("the gauge shows", gauge).await;

    bound(true).await;
    let told = event(&take(world.vhost.amqp_url(), "trade.pay.refunded.queue", 1).await[0]);
    assert_eq!(told.order.pay_order_no, first);
    eventually("it is published", async || (ingress.pending().await == 0).then_some(())).await;
    assert_eq!(count(&ingress.admin_get("/admin/audit").await, "published"), 3);
}

/// Puts a policy (`policies`) or an operator's (`operator-policies`) on a queue, or takes it away.
async fn policy(world: &World, kind: &str, queue: &str, definition: Option<serde_json::Value>) {
    service::tls::install();
    let management_url = devstack::testing::servers().management_url;
    let url = format!("{management_url}/api/{kind}/{}/losing", world.vhost.name());
    let http = transport::http_client().build().unwrap();
    let request = match definition {
        Some(definition) => http.put(url).json(&json!({
            "pattern": format!("^{queue}$"), "definition": definition, "apply-to": "queues", "priority": 1,
        })),
        None => http.delete(url),
    };
    request.basic_auth("guest", Some("guest")).send().await.unwrap().error_for_status().unwrap();
}

#[tokio::test]
async fn nothing_is_published_into_a_queue_whose_policy_loses_it_and_callbacks_are_taken() {
    // An operator's is in no list of policies; it shows in the figures of the queue alone, which come late.
    tokio::join!(held_back_by("policies"), held_back_by("operator-policies"));
}

#[tokio::test]
async fn a_management_api_that_cannot_be_read_holds_nothing_back() {
    let world = World::create();
    let nobody = format!("http://127.0.0.1:{}", devstack::testing::free_port());
    let ingress = world.ingress(&[("PAYRELAY_MANAGEMENT_URL", &nobody)]).await;
    let number = ingress.pay_order("1").await;
    assert_eq!(ingress.callback(&paid(&number)).await, StatusCode::NO_CONTENT);
    eventually("it is published", async || (ingress.pending().await == 0).then_some(())).await;
}

async fn held_back_by(kind: &str) {
    let world = tokio::task::spawn_blocking(World::create).await.unwrap();
    let queue = "merchant.pay.success.queue";
    policy(&world, kind, queue, Some(json!({ "message-ttl": 1 }))).await;
    let management_url = devstack::testing::servers().management_url;
    let ingress = world.ingress(&[("PAYRELAY_MANAGEMENT_URL", &management_url)]).await;
    let number = ingress.pay_order("1").await;
    assert_eq!(ingress.callback(&paid(&number)).await, StatusCode::NO_CONTENT);
    eventually("the policy is named", async || {
        let ready = ingress.http.get(format!("{}/readyz", ingress.admin_url)).send().await.unwrap();
        assert_eq!(ready.status(), StatusCode::OK, "it takes callbacks all the same");
        let report: serde_json::Value = ready.json().await.unwrap();
        let told = report["checks"]["rabbitmq"].as_str().unwrap().to_owned();
        (told.contains(queue) && told.contains("message-ttl")).then_some(())
    })
    .await;
    assert_eq!(ingress.pending().await, 1, "nothing was published");
    let checkup = ingress.admin_get("/admin/checkup").await;
    assert!(checkup["oldest_pending"].is_string(), "{checkup}");
    assert_eq!(checkup["management_url"], management_url.as_str(), "{checkup}");

    policy(&world, kind, queue, None).await;
    eventually("it is published", async || (ingress.pending().await == 0).then_some(())).await;
    assert_eq!(take(world.vhost.amqp_url(), queue, 1).await.len(), 1);
}

#[tokio::test]
async fn a_spoiled_topology_holds_events_back_until_it_is_mended_and_callbacks_are_taken() {
    let world = tokio::task::spawn_blocking(World::create).await.unwrap();
    let queue = "trade.pay.closed.queue";
    let connection = Broker::new(world.vhost.amqp_url(), "test").unwrap().connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), durable, FieldTable::default()).await.unwrap();
    // The queue of the event is as it must be, and would take it.
    let sound =
        Topology { queues: vec![ConsumerQueue::new("trade", "pay.success")], retry: RetryDelays::default() };
    sound.declare(&channel).await.unwrap();

    let ingress = world.ingress(&[]).await;
    let number = ingress.pay_order("1").await;
    assert_eq!(ingress.callback(&paid(&number)).await, StatusCode::NO_CONTENT);
    let ready = ingress.http.get(format!("{}/readyz", ingress.admin_url)).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    let report: serde_json::Value = ready.json().await.unwrap();
    assert!(report["checks"]["rabbitmq"].as_str().unwrap().contains("spoiled"), "{report}");
    assert_eq!(ingress.pending().await, 1, "nothing is published");

    channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    eventually("it is published", async || (ingress.pending().await == 0).then_some(())).await;
}

#[tokio::test]
async fn an_event_goes_out_again_as_it_was_and_no_other_does() {
    let world = World::create();
    let ingress = world.ingress(&[("PAYRELAY_EVENT_FORMAT", "json")]).await;
    // A twin beside it.
    for order_no in ["1", "2"] {
        let number = ingress.pay_order(order_no).await;
        assert_eq!(ingress.callback(&paid(&number)).await, StatusCode::NO_CONTENT);
    }
    let queue = "trade.pay.success.queue";
    let first = take(world.vhost.amqp_url(), queue, 2).await;
    eventually("all is published", async || (ingress.pending().await == 0).then_some(())).await;
    let lost = event(&first[0]);
    let occurred_at = lost.occurred_at.format(&Rfc3339).unwrap();
    let wanted = json!({ "event_id": lost.event_id, "occurred_at": occurred_at });
    let stranger = json!({ "event_id": EventId(Uuid::now_v7()), "occurred_at": occurred_at });
    let body = json!({ "by": "tester", "events": [wanted, wanted, stranger] });
    let (status, answer) = republish(&ingress, &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let expected = json!({ "queued": 1, "waiting": 0, "unknown": [stranger["event_id"]] });
    assert_eq!(answer, expected);
    let again = take(world.vhost.amqp_url(), queue, 1).await;
    assert_eq!((&again[0].data, &again[0].properties), (&first[0].data, &first[0].properties));
    assert_eq!(again[0].properties.content_type().as_ref().unwrap().as_str(), "application/json");
    eventually("all is published", async || (ingress.pending().await == 0).then_some(())).await;
    // The broker tells depths a moment late.
    eventually("nothing else came", async || (world.vhost.queue_depth(queue)? == 0).then_some(())).await;
}

#[tokio::test]
async fn what_waits_in_the_outbox_is_not_put_there_twice() {
    let (ingress, _database) = World::without_broker(&[]).await;
    let number = ingress.pay_order("1").await;
    assert_eq!(ingress.callback(&paid(&number)).await, StatusCode::NO_CONTENT);
    let window = "from=2020-01-01T00:00:00Z&to=2020-01-01T00:00:01Z&type=pay.success";
    assert_eq!(ingress.admin_get(&format!("/admin/audit/events?{window}")).await["events"], json!([]));
    let now = OffsetDateTime::now_utc();
    let [from, to] = [now - time::Duration::HOUR, now + time::Duration::HOUR]
        .map(|time| time.replace_nanosecond(0).unwrap().format(&Rfc3339).unwrap());
    let page = ingress.admin_get(&format!("/admin/audit/events?from={from}&to={to}&type=pay.success")).await;
    let event = &page["events"][0];
    let one = json!({ "event_id": event["event_id"], "occurred_at": event["occurred_at"] });
    let (_, answer) = republish(&ingress, &json!({ "by": "tester", "events": [one] })).await;
    assert_eq!(answer, json!({ "queued": 0, "waiting": 1, "unknown": [] }));
    assert_eq!(ingress.pending().await, 1);

    let many = vec![one.clone(); 501];
    for (wrong, expected) in [
        (json!({ "by": "tester", "events": [] }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "by": "tester", "events": many }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "by": "", "events": [one] }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "events": [one] }), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        assert_eq!(republish(&ingress, &wrong).await.0, expected);
    }
    let path = format!("{}/admin/events/republish", ingress.admin_url);
    let open = ingress.http.post(path).json(&json!({})).send().await.unwrap();
    assert_eq!(open.status(), StatusCode::UNAUTHORIZED);
}

async fn republish(ingress: &Ingress, body: &serde_json::Value) -> (StatusCode, serde_json::Value) {
    read(ingress.admin(Method::POST, "/admin/events/republish").json(body).send().await.unwrap()).await
}
