//! One subscription, from its connection to its end.

use std::time::Duration;

use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::end::{End, Interruption};
use super::subscription::{PACE, Subscription};
use super::{Consumer, Copies, Delivery, Handler};
use crate::reconnect::Backoff;
use crate::{ConsumerQueue, Topology, connection, refusal};

/// For one request on a connection that stands.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The argument of a subscription that says in which order the broker serves several.
const PRIORITY: &str = "x-priority";

/// One connection with one channel and, on it, one subscription at a time.
pub(super) struct Session<'a, H> {
    pub(super) consumer: &'a Consumer,
    pub(super) copies: &'a Copies,
    pub(super) handler: &'a H,
    cancel: &'a CancellationToken,
    channel: Channel,
}

/// In which order messages are settled.
#[derive(Clone, Copy)]
pub(super) enum Order {
    /// Nothing in hand is older: one acknowledgement covers a batch.
    OldestFirst,
    /// Something in hand may be older: each has its own acknowledgement.
    Any,
}

/// Why a subscription was given up.
enum Next {
    /// The head of the queue is sound: take many at once.
    Widen,
    /// A suspicious message has been through: see what follows it first.
    Probe,
    End(End),
}

impl<'a, H: Handler> Session<'a, H> {
    /// Connects, declares, and consumes until something ends it.
    pub(super) async fn run(
        consumer: &'a Consumer,
        copies: &'a Copies,
        handler: &'a H,
        cancel: &'a CancellationToken,
    ) -> Result<End, Interruption> {
        let connecting = consumer.broker.connect();
        let Some(connection) = cancel.run_until_cancelled(connecting).await else {
            return Ok(End::Cancelled);
        };
        let connection = connection?;
        let end = Self::consume(&connection, consumer, copies, handler, cancel).await;
        consumer.set_subscribed(false);
        connection::close(&connection).await;
        match end {
            Err(Interruption::Outage(reason)) => Ok(End::Outage(reason)),
            other => other,
        }
    }

    async fn consume(
        connection: &Connection,
        consumer: &'a Consumer,
        copies: &'a Copies,
        handler: &'a H,
        cancel: &'a CancellationToken,
    ) -> Result<End, Interruption> {
        let topology = Topology { queues: vec![consumer.queue.clone()], retry: consumer.retry.clone() };
        let declaring = cancel.run_until_cancelled(connection::declare_on(connection, &topology));
        let Some(declared) = declaring.await else { return Ok(End::Cancelled) };
        declared?;
        let channel = within("open a channel", connection.create_channel()).await?;
        let session = Self { consumer, copies, handler, cancel, channel };
        let mut prefetch = 1;
        loop {
            let mut subscription = session.subscribe(prefetch).await?;
            let next = session.serve(&mut subscription, prefetch).await?;
            prefetch = match next {
                Next::Widen => consumer.prefetch(),
                Next::Probe => 1,
                Next::End(end) => return Ok(end),
            };
        }
    }

    async fn subscribe(&self, prefetch: u16) -> Result<Subscription<'a>, Interruption> {
        within("set the prefetch", self.channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let queue = self.queue().queue.as_str().into();
        let mut arguments = FieldTable::default();
        arguments.insert(PRIORITY.into(), AMQPValue::LongInt(self.consumer.priority));
        let subscribing = self.channel.basic_consume(
            queue,
            ShortString::default(),
            BasicConsumeOptions::default(),
            arguments,
        );
        let stream = within("subscribe", subscribing).await?;
        self.consumer.set_subscribed(true);
        Ok(Subscription::new(self.queue(), stream))
    }

    /// Takes batch after batch, each as large as what has arrived meanwhile.
    async fn serve(&self, subscription: &mut Subscription<'_>, prefetch: u16) -> Result<Next, Interruption> {
        let mut not_before = Instant::now();
        loop {
            let paced = async {
                sleep_until(not_before).await;
                subscription.next().await
            };
            let first = tokio::select! {
                biased;
                () = self.cancel.cancelled() => None,
                first = paced => Some(first?),
            };
            let Some(first) = first else {
                fail::fail_point!("consumer::draining", |_| std::process::abort());
                self.finish(subscription, Vec::new()).await?;
                fail::fail_point!("consumer::drained", |_| std::process::abort());
                return Ok(Next::End(End::Cancelled));
            };
            let Some(first) = first else { return Ok(Next::End(End::Unsubscribed)) };
            let probing = prefetch == 1;
            if first.is_suspicious() && probing {
                self.process_alone(first, Order::OldestFirst).await?;
                continue;
            }
            let began = Instant::now();
            let limit = if probing { 1 } else { self.consumer.batch.into() };
            let batch = subscription.gather(first, limit).await?;
            let full = batch.len() >= limit;
            not_before = if full { began } else { began + PACE };
            if batch.iter().any(Delivery::is_suspicious) {
                self.finish(subscription, batch).await?;
                return Ok(Next::Probe);
            }
            self.process(&batch, Order::OldestFirst).await?;
            if probing {
                self.finish(subscription, Vec::new()).await?;
                return Ok(Next::Widen);
            }
        }
    }

    /// Handles a message that is the only one in hand. An outage does not send it back, for that would count as one more
    /// delivery, and outages must not add up to the delivery limit.
    async fn process_alone(&self, delivery: Delivery, order: Order) -> Result<(), Interruption> {
        let batch = [delivery];
        let mut backoff = Backoff::default();
        let settled = loop {
            match self.process(&batch, order).await {
                Err(Interruption::Outage(reason)) if self.consumer.status.is_subscribed() => {
                    tracing::warn!(queue = self.queue().queue, reason, "waiting with one message in hand");
                    self.consumer.set_subscribed(false);
                }
                Err(Interruption::Outage(_)) => {}
                settled => break settled,
            }
            if !backoff.wait(self.cancel).await {
                break Err(Interruption::Outage("stopped during an outage".to_owned()));
            }
        };
        self.consumer.set_subscribed(true);
        settled
    }

    /// Unsubscribes and settles what is in hand, the suspicious messages last and alone: if one of them kills the
    /// process now, no sound one is in hand to be counted.
    async fn finish(
        &self,
        subscription: &mut Subscription<'_>,
        mut in_hand: Vec<Delivery>,
    ) -> Result<(), Interruption> {
        in_hand.extend(self.unsubscribe(subscription).await?);
        let (suspicious, sound): (Vec<_>, Vec<_>) = in_hand.into_iter().partition(Delivery::is_suspicious);
        for batch in sound.chunks(self.consumer.batch.into()) {
            self.process(batch, Order::Any).await?;
        }
        for delivery in suspicious {
            self.process_alone(delivery, Order::Any).await?;
        }
        Ok(())
    }

    /// Takes nothing more; returns what was delivered before the broker knew.
    async fn unsubscribe(&self, subscription: &mut Subscription<'_>) -> Result<Vec<Delivery>, Interruption> {
        if !subscription.cancelled {
            subscription.cancelled = true;
            let cancelling = self.channel.basic_cancel(subscription.tag(), BasicCancelOptions::default());
            within("unsubscribe", cancelling).await?;
        }
        let mut in_hand = Vec::new();
        while let Some(delivery) = subscription.next().await? {
            in_hand.push(delivery);
        }
        Ok(in_hand)
    }

    /// Acknowledges a batch that is settled.
    pub(super) async fn acknowledge(&self, batch: &[Delivery], order: Order) -> Result<(), Interruption> {
        let (multiple, deliveries) = match order {
            Order::OldestFirst => (true, &batch[batch.len().saturating_sub(1)..]),
            Order::Any => (false, batch),
        };
        for delivery in deliveries {
            within("acknowledge", self.channel.basic_ack(delivery.tag, BasicAckOptions { multiple })).await?;
        }
        Ok(())
    }

    pub(super) const fn queue(&self) -> &'a ConsumerQueue {
        &self.consumer.queue
    }
}

async fn within<T>(
    what: &'static str,
    request: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Interruption> {
    let done = connection::within(what, REQUEST_TIMEOUT, request).await?;
    Ok(done.map_err(refusal::of(refusal::CONSUME))?)
}
