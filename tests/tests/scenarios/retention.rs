//! What expires goes, and neither a repetition of it nor an event of long ago does anything twice.

use channels::standard::Kind;
use scenarios::{Options, Pipeline, Sandbox, Servers, Shop, check, until};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::promises::{channel, count, database, publish, until_count};

/// The partitioned tables, with the column of their day.
const PARTITIONED: [&str; 5] =
    ["pay.callbacks", "pay.events", "orders.handled", "notify.handled", "notify.attempts"];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_every_partition_is_dropped_and_does_nothing_again() {
    let sandbox = Sandbox::start().await;
    let mut pipeline = Pipeline::start(Servers::shared(), Options::default()).await;
    let merchant = pipeline.add_merchant("m1", &sandbox.url("m1")).await;
    sandbox.register(&merchant);
    let shop = pipeline.shop(&merchant);
    let database = database(&pipeline).await;

    services_drop_what_has_expired(&mut pipeline, &database).await;
    an_event_of_long_ago_is_applied_and_told_once(&pipeline, &sandbox, &shop).await;
    a_repetition_after_all_has_expired_changes_nothing(&pipeline, &sandbox, &shop, &database).await;
}

/// Declared, and carried out: days of two months ago go by themselves, in every service.
async fn services_drop_what_has_expired(pipeline: &mut Pipeline, database: &Client) {
    let day = OffsetDateTime::now_utc().date() - Duration::days(60);
    for table in PARTITIONED {
        let name = format!("{table}_p{}", day.to_string().replace('-', ""));
        let next = day.next_day().expect("a day");
        let create =
            format!("CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ('{day}') TO ('{next}')");
        database.batch_execute(&create).await.expect("a partition");
    }
    let old = format!(
        "SELECT count(*) FROM pg_class WHERE relname LIKE '%\\_p{}'",
        day.to_string().replace('-', "")
    );
    assert_eq!(count(database, &old).await, 5);
    let ended = "INSERT INTO pay.rotated_api_keys VALUES (sha256('ended'), 'm1', now() - interval '60 days')";
    database.execute(ended, &[]).await.expect("a key");
    for service in pipeline.services() {
        assert_eq!(service.terminate().await, Some(0));
        service.start();
    }
    for service in pipeline.services() {
        service.ready().await;
    }
    until_count(database, &old, 0).await;
    until_count(database, "SELECT count(*) FROM pay.rotated_api_keys", 0).await;
}

fn success_of_long_ago(shop: &Shop, order_no: &str) -> Value {
    let then = (OffsetDateTime::now_utc() - Duration::days(60)).format(&Rfc3339).expect("a time");
    json!({
        "eventId": Uuid::now_v7(), "type": "PAY_EVENT_TYPE_SUCCESS", "merchantId": shop.merchant.id, "orderNo": order_no,
        "payOrderNo": format!("UP-{order_no}"), "version": "1", "status": "PAY_ORDER_STATUS_TRADE_SUCCESS",
        "purpose": "PURPOSE_ORDER", "amountMinor": "1999", "currency": "CNY", "channel": "upstream",
        "channelTradeNo": format!("UT-{order_no}"), "paidAt": then, "occurredAt": then,
    })
}

/// There is no partition to log it in; the order and the event key guard it all the same.
async fn an_event_of_long_ago_is_applied_and_told_once(pipeline: &Pipeline, sandbox: &Sandbox, shop: &Shop) {
    shop.create_order("OLD", 1999).await;
    shop.create_order("AFTER", 1999).await;
    let (_connection, channel) = channel(pipeline).await;
    let old = success_of_long_ago(shop, "OLD");
    publish(&channel, "application/json", old.to_string().as_bytes()).await;
    let paid = order_once_paid(shop, "OLD").await;
    told(sandbox, "OLD").await;
    publish(&channel, "application/json", old.to_string().as_bytes()).await;
    // In the same queues, behind it.
    publish(&channel, "application/json", success_of_long_ago(shop, "AFTER").to_string().as_bytes()).await;
    order_once_paid(shop, "AFTER").await;
    told(sandbox, "AFTER").await;
    assert_eq!(shop.order("OLD").await, paid);
    assert_eq!(sandbox.received_of("OLD").len(), 1);
    check::audited(pipeline).await;
}

/// All that the retention ever takes away is gone; callback and message come again.
async fn a_repetition_after_all_has_expired_changes_nothing(
    pipeline: &Pipeline,
    sandbox: &Sandbox,
    shop: &Shop,
    database: &Client,
) {
    let pay_order_no = shop.pay("O-1", 1999).await;
    let (paid, pay_order) = (order_once_paid(shop, "O-1").await, shop.pay_order(&pay_order_no).await);
    told(sandbox, "O-1").await;
    check::audited(pipeline).await;
    let payload: Vec<u8> =
        database.query_one("SELECT payload FROM pay.events", &[]).await.expect("one event").get(0);
    for table in PARTITIONED {
        database.execute(&format!("DELETE FROM {table}"), &[]).await.expect("an expiry");
    }
    let bodies = "UPDATE notify.notifications SET body = NULL WHERE status = 'DELIVERED'";
    assert_eq!(database.execute(bodies, &[]).await.expect("an expiry"), 3);

    let again = shop.notice(Kind::PaymentSucceeded, &pay_order_no, 1999);
    assert_eq!(shop.tell(&again).await, 204);
    let (_connection, channel) = channel(pipeline).await;
    publish(&channel, "application/protobuf", &payload).await;
    for log in ["pay.callbacks", "orders.handled", "notify.handled"] {
        let duplicates = format!("SELECT count(*) FROM {log} WHERE outcome = 'duplicate'");
        until_count(database, &duplicates, 1).await;
    }
    assert_eq!(count(database, "SELECT count(*) FROM pay.events").await, 0);
    assert_eq!((shop.order("O-1").await, shop.pay_order(&pay_order_no).await), (paid, pay_order));
    // Whatever would be told again would come before this.
    shop.pay("O-2", 1999).await;
    told(sandbox, "O-2").await;
    assert_eq!(sandbox.received_of("O-1").len(), 1);
}

async fn order_once_paid(shop: &Shop, order_no: &str) -> Value {
    until(&format!("payment of {order_no}"), async || {
        let order = shop.order(order_no).await;
        if order["status"] == "PAID" { Ok(order) } else { Err(order.to_string()) }
    })
    .await
}

/// Waits until the merchant was told of this order.
async fn told(sandbox: &Sandbox, order_no: &str) {
    until(&format!("webhook about {order_no}"), async || {
        sandbox.received_of(order_no).pop().ok_or("none".to_owned())
    })
    .await;
}
