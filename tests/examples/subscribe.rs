//! A queue of one's own on `pay.direct`: `AMQP_URL=amqp://… cargo run -p scenarios --example subscribe`
#![expect(clippy::print_stdout, reason = "an example shows what it takes")]

use std::env;
use std::error::Error;

use events::codec;
use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Connection, ConnectionProperties};

const QUEUE: &str = "risk.pay.success.queue";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let connection = Connection::connect(&env::var("AMQP_URL")?, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(QUEUE.into(), durable, arguments).await?;
    let (exchange, key) = ("pay.direct".into(), "pay.success".into());
    channel
        .queue_bind(QUEUE.into(), exchange, key, QueueBindOptions::default(), FieldTable::default())
        .await?;
    channel.basic_qos(100, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let mut deliveries =
        channel.basic_consume(QUEUE.into(), "risk".into(), options, FieldTable::default()).await?;
    while let Some(delivery) = deliveries.next().await {
        let delivery = delivery?;
        let content_type = delivery.properties.content_type().as_ref().map(ShortString::as_str);
        let event = codec::decode(content_type, delivery.routing_key.as_str(), &delivery.data, None);
        // Do the work here, and do it idempotently: a message may come again. Then acknowledge.
        println!("{event:?}");
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}
