//! Publishing while a queue is full: the broker nacks an event that a queue refuses.

use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use messaging::{Broker, EXCHANGE};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{World, count, event, eventually, paid, refunded, take};

/// A queue of another team, bound to refunds. It takes one message.
const FULL: &str = "audit.pay.refunded.queue";

/// Binds the queue and fills it. A classic queue refuses exactly what is over its length; a quorum queue refuses a moment late.
async fn bind_full_queue(channel: &Channel) {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(1));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(FULL.into(), durable, arguments).await.unwrap();
    let (key, options) = ("pay.refunded".into(), QueueBindOptions::default());
    channel.queue_bind(FULL.into(), EXCHANGE.into(), key, options, FieldTable::default()).await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let published = channel.basic_publish("".into(), FULL.into(), options, b"other", properties).await;
    assert!(published.unwrap().await.unwrap().is_ack(), "it has room for one");
}

#[tokio::test]
async fn what_a_full_queue_refuses_stays_pending_and_is_published_once_there_is_room() {
    let world = World::create();
    let ingress = world.ingress(&[]).await;
    let refused = ingress.pay_order("refused").await;
    assert_eq!(ingress.callback(&paid(&refused)).await, StatusCode::NO_CONTENT);
    take(world.vhost.amqp_url(), "trade.pay.success.queue", 1).await;
    let connection = Broker::new(world.vhost.amqp_url(), "test").unwrap().connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    bind_full_queue(&channel).await;

    assert_eq!(ingress.callback(&refunded(&refused, 5)).await, StatusCode::NO_CONTENT);
    // A queue with room takes the event, although another one refuses it: so the event has been sent.
    let sent = event(&take(world.vhost.amqp_url(), "trade.pay.refunded.queue", 1).await[0]);
    let other = ingress.pay_order("other").await;
    assert_eq!(ingress.callback(&paid(&other)).await, StatusCode::NO_CONTENT);
    // The relay settles its batches in order. When the other event is out, the refused one has been judged.
    eventually("the other event is published", async || {
        (ingress.traced("other", "pay.success").await["published"] == true).then_some(())
    })
    .await;
    let refund = ingress.traced("refused", "pay.refunded").await;
    assert_eq!((&refund["published"], &refund["returned"]), (&json!(false), &json!(0)), "{refund}");
    assert_eq!(ingress.pending().await, 1);

    channel.queue_purge(FULL.into(), QueuePurgeOptions::default()).await.unwrap();
    let told = event(&take(world.vhost.amqp_url(), FULL, 1).await[0]);
    assert_eq!((told.event_id, told.order.pay_order_no), (sent.event_id, refused));
    eventually("it is published", async || (ingress.pending().await == 0).then_some(())).await;
    assert_eq!(count(&ingress.admin_get("/admin/audit").await, "published"), 3);
}
