//! What the tests share: a vhost of their own, events, and polling with a deadline.

use std::time::{Duration, Instant};

use devstack::testing::Vhost;
use lapin::message::Delivery;
use lapin::options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use pay_client::{
    EventType, Money, PayEvent, PayOrder, PublishError, Publisher, Purpose, Status, new_event_id,
};
use time::OffsetDateTime;

/// No wait of a test is longer.
const DEADLINE: Duration = devstack::testing::DEADLINE;

/// A vhost, and another client's channel on it.
pub(crate) struct Fixture {
    pub(crate) channel: Channel,
    pub(crate) vhost: Vhost,
    _connection: Connection,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let vhost = tokio::task::spawn_blocking(Vhost::create).await.unwrap();
        let connection =
            Connection::connect(vhost.amqp_url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        Self { channel, vhost, _connection: connection }
    }

    /// A queue of another team, bound by these keys.
    pub(crate) async fn queue(&self, name: &str, keys: &[&str], arguments: &[(&str, AMQPValue)]) {
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert((*name).into(), value.clone());
        }
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(name.into(), durable, table).await.unwrap();
        let exchange = lapin::options::ExchangeDeclareOptions { durable: true, ..Default::default() };
        self.channel
            .exchange_declare(
                "pay.direct".into(),
                lapin::ExchangeKind::Direct,
                exchange,
                FieldTable::default(),
            )
            .await
            .unwrap();
        for key in keys {
            let options = QueueBindOptions::default();
            self.channel
                .queue_bind(name.into(), "pay.direct".into(), (*key).into(), options, FieldTable::default())
                .await
                .unwrap();
        }
    }

    /// Publishes as another client does.
    pub(crate) async fn send(&self, key: &str, content_type: &str, body: &[u8]) {
        let properties = BasicProperties::default().with_content_type(content_type.into());
        let sent = self.channel.basic_publish(
            "pay.direct".into(),
            key.into(),
            lapin::options::BasicPublishOptions::default(),
            body,
            properties,
        );
        sent.await.unwrap().await.unwrap();
    }

    /// Waits for a message in a queue and takes it.
    pub(crate) async fn take(&self, queue: &str) -> Delivery {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let got = self.channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap();
            if let Some(message) = got {
                return message.delivery;
            }
            assert!(Instant::now() < deadline, "nothing came into {queue}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A header's text.
pub(crate) fn header(delivery: &Delivery, name: &str) -> String {
    match delivery.properties.headers().as_ref().and_then(|headers| headers.inner().get(name)) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        other => panic!("{name}: {other:?}"),
    }
}

/// An event of an order of the merchant `m1` over 19.99 CNY, of which 5.00 are refunded if it is a refund.
pub(crate) fn event(event_type: EventType, order_no: &str) -> PayEvent {
    let (status, refunded_minor) = match event_type {
        EventType::Success => (Status::TradeSuccess, 0),
        EventType::Failed => (Status::TradeFailed, 0),
        EventType::Closed => (Status::TradeClosed, 0),
        EventType::Refunded => (Status::PartiallyRefunded, 500),
    };
    let now = OffsetDateTime::now_utc();
    PayEvent {
        event_id: new_event_id(),
        event_type,
        occurred_at: now,
        order: PayOrder {
            pay_order_no: format!("UP-{order_no}").parse().unwrap(),
            merchant_id: "m1".parse().unwrap(),
            order_no: order_no.parse().unwrap(),
            purpose: Purpose::Order,
            amount: Money::new(1999, "CNY".parse().unwrap()),
            channel: "upstream".parse().unwrap(),
            status,
            version: 2,
            refunded_minor,
            channel_trade_no: None,
            paid_at: status.is_paid().then_some(now),
            subject: None,
            notify_url: None,
            attach: None,
        },
    }
}

/// The publisher, once it is connected: a publish waits for that for a few seconds only, and a busy machine may take longer.
pub(crate) async fn connected(publisher: Publisher) -> Publisher {
    let nobodys = event(EventType::Failed, "0");
    until("a connection", async || match publisher.publish(&nobodys).await {
        Err(PublishError::Unconfirmed(_)) => None,
        settled => Some(settled),
    })
    .await
    .ok();
    publisher
}

/// Looks until `look` finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
