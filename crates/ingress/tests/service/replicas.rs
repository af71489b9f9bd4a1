//! Two replicas on one database.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{World, count, event, eventually, new_pay_order, number, paid, refunded, take};

const ORDERS: usize = 40;

#[tokio::test]
async fn two_replicas_make_every_transition_once() {
    let world = World::create();
    let shards = &[("PAYRELAY_OUTBOX_SHARDS", "2")];
    let first = world.ingress(shards).await;
    let mut second = world.ingress(shards).await;
    second.api_key.clone_from(&first.api_key);
    let replicas = [&first, &second];

    let created = join_all((0..ORDERS).map(|order| {
        let request = new_pay_order(&order.to_string());
        async move { tokio::join!(replicas[0].create(&request), replicas[1].create(&request)) }
    }))
    .await;
    let mut numbers = BTreeSet::new();
    for ((one, one_body), (other, other_body)) in created {
        let mut statuses = [one.as_u16(), other.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 201]);
        assert_eq!(number(&one_body), number(&other_body));
        numbers.insert(number(&one_body));
    }

    let notices: Vec<_> = numbers.iter().flat_map(|number| [paid(number), refunded(number, 1999)]).collect();
    let answers = notices.iter().flat_map(|notice| replicas.map(|replica| replica.callback(notice)));
    let answers = join_all(answers).await;
    assert!(answers.iter().all(|status| *status == StatusCode::NO_CONTENT), "{answers:?}");
    for number in &numbers {
        let found = second.show(number).await;
        assert_eq!((&found["status"], &found["version"]), (&json!("TRADE_REFUNDED"), &json!(3)));
    }
    let published = async || {
        let audit = first.admin_get("/admin/audit").await;
        (count(&audit, "published") == 2 * ORDERS as u64 && count(&audit, "committed") == 0).then_some(())
    };
    eventually("every event is published", published).await;
    let told = take(world.vhost.amqp_url(), "trade.pay.success.queue", ORDERS).await;
    assert_eq!(
        told.iter().map(|message| event(message).order.pay_order_no).collect::<BTreeSet<_>>(),
        numbers
    );
}

#[tokio::test]
async fn a_long_poll_sees_what_another_replica_commits_and_a_successor_goes_on() {
    let world = World::create();
    let first = world.ingress(&[]).await;
    let mut second = world.ingress(&[]).await;
    second.api_key.clone_from(&first.api_key);
    let number = first.pay_order("10001").await;
    let path = format!("/v1/pay-orders/{number}?wait_seconds=30");
    let ((_, found), status) =
        tokio::join!(second.get(&path), async { first.callback(&paid(&number)).await });
    assert_eq!((status, &found["status"]), (StatusCode::NO_CONTENT, &json!("TRADE_SUCCESS")));

    first.stop().await;
    assert_eq!(second.callback(&refunded(&number, 1)).await, StatusCode::NO_CONTENT);
    assert_eq!(take(world.vhost.amqp_url(), "trade.pay.refunded.queue", 1).await.len(), 1);
}
