//! The promises to those who move money, each under the fault that would break it most easily: what was answered arrives,
//! once; what waits goes on by itself; what an operator does takes effect once; no secret is told.

mod handling;
mod malformed;
mod outages;
mod replicas;
mod secrets;

use channels::standard::Kind;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use scenarios::{Payment, Pipeline, Sandbox, Shop, until};
use tokio_postgres::{Client, NoTls};

/// What every payment costs.
const AMOUNT_MINOR: i64 = 1_999;

/// A session of an operator on the pipeline's database.
pub(crate) async fn database(pipeline: &Pipeline) -> Client {
    let url = pipeline.servers.database_url();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a database");
    tokio::spawn(connection);
    client
}

/// The one number that a statement selects.
pub(crate) async fn count(database: &Client, statement: &str) -> i64 {
    database.query_one(statement, &[]).await.expect("valid SQL").get(0)
}

/// Waits until a statement selects this number.
pub(crate) async fn until_count(database: &Client, statement: &str, expected: i64) {
    until(&format!("{expected} by {statement}"), async || {
        let found = count(database, statement).await;
        if found == expected { Ok(()) } else { Err(found.to_string()) }
    })
    .await;
}

/// A channel of another team on the pipeline's broker, with confirms.
pub(crate) async fn channel(pipeline: &Pipeline) -> (Connection, Channel) {
    let url = pipeline.servers.amqp_url();
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.expect("a connection");
    let channel = connection.create_channel().await.expect("a channel");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    (connection, channel)
}

/// Publishes a success to everybody.
pub(crate) async fn publish(channel: &Channel, content_type: &str, body: &[u8]) {
    let properties = BasicProperties::default().with_delivery_mode(2).with_content_type(content_type.into());
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let published =
        channel.basic_publish("pay.direct".into(), "pay.success".into(), options, body, properties).await;
    let confirmed = published.expect("a publish").await.expect("a confirm");
    assert!(matches!(confirmed, Confirmation::Ack(None)), "{confirmed:?}");
}

/// Waits until a queue holds so many messages, delivered or not.
async fn until_depth(pipeline: &Pipeline, queue: &str, expected: u64) {
    until(&format!("{expected} messages in {queue}"), async || {
        let found = pipeline.servers.vhost().queue_depth(queue);
        if found == Some(expected) { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

/// Waits until the order is paid, and by one change: made, then paid.
async fn until_paid(shop: &Shop, order_no: &str) {
    let order = until(&format!("payment of {order_no}"), async || {
        let order = shop.order(order_no).await;
        if order["status"] == "PAID" { Ok(order) } else { Err(order.to_string()) }
    })
    .await;
    assert_eq!(order["version"], 2, "{order}");
}

/// A pay order and its success, told once and answered. Whether there is an order is the caller's affair.
async fn answered(shop: &Shop, order_no: &str) -> Payment {
    let pay_order_no = shop.create_pay_order(order_no, AMOUNT_MINOR).await;
    let success = shop.notice(Kind::PaymentSucceeded, &pay_order_no, AMOUNT_MINOR);
    assert_eq!(shop.tell(&success).await, 204, "{order_no}");
    let order_no = order_no.to_owned();
    Payment { order_no, pay_order_no, amount_minor: AMOUNT_MINOR, refunded_minor: 0 }
}

/// How often this order's webhook was sent.
fn attempts(sandbox: &Sandbox, order_no: &str) -> usize {
    sandbox.received_of(order_no).len()
}

/// Notifications that were given up, as many attempts in vain leave them, under the order numbers `{prefix}-1` and so on.
async fn insert_parked(database: &Client, merchant_id: &str, prefix: &str, count: i64) {
    let insert = "
        INSERT INTO notify.notifications (notification_id, event_id, merchant_id, order_no, pay_order_no, event_type, seq,
            version, occurred_at, status, reason, body, finished_at)
        SELECT gen_random_uuid(), gen_random_uuid(), $1::text, $2::text || '-' || n, 'P' || $2::text || n, 'pay.success', 0, 2,
            now(), 'PARKED', 'attempts_exhausted',
            convert_to(jsonb_build_object('type', 'pay.success', 'data',
                jsonb_build_object('merchant_id', $1::text, 'order_no', $2::text || '-' || n))::text, 'UTF8'),
            now()
        FROM generate_series(1, $3::bigint) n";
    database.execute(insert, &[&merchant_id, &prefix, &count]).await.expect("valid SQL");
}
