//! RabbitMQ alone: messages like ours in confirmed batches to the real exchange with its two quorum queues, two consumers that
//! acknowledge many at once; or none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use events::codec;
use futures_util::future::maybe_done;
use futures_util::{StreamExt, poll};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation};
use messaging::{Broker, EXCHANGE, RetryDelays, Topology};
use tokio::task::JoinSet;

use super::{Cost, Extent, Meter};
use crate::machine::Machine;
use crate::payments::event;
use crate::process::{LIMIT, until};

const VHOST: &str = "limits";
const BATCH: usize = 512;
const PREFETCH: u16 = 300;
const ACK_EVERY: usize = 100;
const QUEUES: [&str; 2] = ["trade.pay.success.queue", "merchant.pay.success.queue"];
/// Long enough for a batch that has gathered to be acknowledged before it is full.
const ACK_PAUSE: Duration = Duration::from_millis(20);

/// Publishes for `duration`; a payment is one message, told to both consumers if there are any.
pub(super) async fn measure(machine: &Machine, extent: Extent, duration: Duration) -> Result<Cost> {
    let broker = Broker::new(&machine.fresh_vhost(VHOST).await?, "limits")?;
    broker.declare(&Topology::payrelay(&RetryDelays::default())).await?;
    let consuming = broker.connect().await?;
    let consumed: [Arc<AtomicUsize>; 2] = Default::default();
    let mut consumers = JoinSet::new();
    let queues = if extent == Extent::Whole { &QUEUES[..] } else { &[] };
    for (queue, count) in queues.iter().zip(&consumed) {
        let channel = consuming.create_channel().await?;
        consumers.spawn(consume(channel, queue, Arc::clone(count)));
    }
    let connection = broker.connect().await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;

    let meter = Meter::start(machine.groups()?, "rabbitmq")?;
    let (started, mut published) = (Instant::now(), 0);
    while started.elapsed() < duration {
        publish(&channel, published..published + BATCH).await?;
        published += BATCH;
    }
    until("consumption of all messages", LIMIT, async || {
        if let Some(ended) = consumers.try_join_next() {
            ended.context("a consumer panicked")??;
        }
        let seen: Vec<_> =
            consumed.iter().take(queues.len()).map(|count| count.load(Ordering::Relaxed)).collect();
        Ok(if seen.iter().all(|seen| *seen >= published) { Ok(()) } else { Err(format!("{seen:?}")) })
    })
    .await?;
    let cost = meter.stop(published)?;
    consumers.shutdown().await;
    messaging::close(&connection).await;
    messaging::close(&consuming).await;
    machine.drop_vhost(VHOST).await?;
    Ok(cost)
}

async fn publish(channel: &Channel, batch: std::ops::Range<usize>) -> Result<()> {
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let mut publishes = Vec::with_capacity(batch.len());
    for index in batch {
        let (properties, body) = message(index)?;
        let (exchange, key) = (EXCHANGE.into(), "pay.success".into());
        let publish = async move { channel.basic_publish(exchange, key, mandatory, &body, properties).await };
        // Its frames are queued now, and leave with those of the others.
        let mut publish = Box::pin(maybe_done(publish));
        let _queued = poll!(&mut publish);
        publishes.push(publish);
    }
    let mut confirms = Vec::with_capacity(publishes.len());
    for mut publish in publishes {
        publish.as_mut().await;
        confirms.extend(publish.as_mut().take_output().transpose()?);
    }
    for confirm in confirms.into_iter().rev() {
        let confirmed = confirm.await?;
        ensure!(matches!(confirmed, Confirmation::Ack(None)), "a message was not taken: {confirmed:?}");
    }
    Ok(())
}

async fn consume(channel: Channel, queue: &'static str, count: Arc<AtomicUsize>) -> Result<()> {
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut deliveries = channel.basic_consume(queue.into(), "limits".into(), options, arguments).await?;
    let multiple = BasicAckOptions { multiple: true };
    let (mut last, mut waiting) = (None, 0);
    loop {
        match tokio::time::timeout(ACK_PAUSE, deliveries.next()).await {
            Ok(Some(delivery)) => {
                let delivery = delivery?;
                codec::decode(Some(codec::PROTOBUF), "pay.success", &delivery.data, None)?;
                (last, waiting) = (Some(delivery), waiting + 1);
                if waiting < ACK_EVERY {
                    continue;
                }
            }
            Ok(None) => return Ok(()),
            Err(_quiet) => {}
        }
        if let Some(delivery) = last.take() {
            delivery.ack(multiple).await?;
            count.fetch_add(waiting, Ordering::Relaxed);
            waiting = 0;
        }
    }
}

/// As the relay makes them: a snapshot in protobuf under the headers of `CloudEvents`.
fn message(index: usize) -> Result<(BasicProperties, Vec<u8>)> {
    let event = event(index)?;
    let event_id = event.event_id.to_string();
    let mut headers = FieldTable::default();
    for (name, value) in [
        ("cloudEvents_specversion", "1.0"),
        ("cloudEvents_id", &event_id),
        ("cloudEvents_source", events::SOURCE),
        ("cloudEvents_type", "pay.success"),
        ("cloudEvents_time", "2026-01-01T00:00:00.123456Z"),
        ("cloudEvents_subject", event.order.pay_order_no.as_str()),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ] {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_headers(headers)
        .with_message_id(event_id.into())
        .with_type("pay.success".into())
        .with_content_type(codec::PROTOBUF.into());
    Ok((properties, codec::encode_protobuf(&event)))
}
