//! The deliveries of one subscription, gathered into batches.

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::types::ShortString;
use tokio::time::{Instant, sleep};

use super::Delivery;
use super::end::Interruption;
use crate::ConsumerQueue;

/// From the beginning of one batch to that of the next, at least, unless the first was full; and the longest that a batch is
/// gathered. A transaction costs as much as some of its rows, so in the midst of traffic it is worth waiting for a few more.
pub(super) const PACE: Duration = Duration::from_millis(10);
/// What is published together comes together: a batch is gathered once nothing has come for so long.
const LULL: Duration = Duration::from_millis(1);

/// A stream of deliveries.
pub(super) struct Subscription<'a> {
    queue: &'a ConsumerQueue,
    stream: lapin::Consumer,
    /// Whether the broker was told to end it.
    pub(super) cancelled: bool,
    /// The client tells the end once, and nothing ever after.
    ended: bool,
}

impl<'a> Subscription<'a> {
    pub(super) const fn new(queue: &'a ConsumerQueue, stream: lapin::Consumer) -> Self {
        Self { queue, stream, cancelled: false, ended: false }
    }

    pub(super) fn tag(&self) -> ShortString {
        self.stream.tag()
    }

    /// The next message; `None` at the end of the subscription.
    pub(super) async fn next(&mut self) -> Result<Option<Delivery>, Interruption> {
        if self.ended {
            return Ok(None);
        }
        let delivery = self.stream.next().await.transpose()?;
        self.ended = delivery.is_none();
        Ok(delivery.map(|delivery| Delivery::new(self.queue, delivery)))
    }

    /// `first` and what comes with it, up to `limit` messages.
    pub(super) async fn gather(
        &mut self,
        first: Delivery,
        limit: usize,
    ) -> Result<Vec<Delivery>, Interruption> {
        let began = Instant::now();
        let mut batch = vec![first];
        self.take_arrived(&mut batch, limit)?;
        while batch.len() < limit && !self.ended && began.elapsed() < PACE {
            let gathered = batch.len();
            sleep(LULL).await;
            self.take_arrived(&mut batch, limit)?;
            if batch.len() == gathered {
                break;
            }
        }
        Ok(batch)
    }

    /// Adds what has arrived. Waits for nothing.
    fn take_arrived(&mut self, batch: &mut Vec<Delivery>, limit: usize) -> Result<(), Interruption> {
        while batch.len() < limit {
            match self.next().now_or_never() {
                Some(Ok(Some(delivery))) => batch.push(delivery),
                Some(Err(error)) => return Err(error),
                Some(Ok(None)) | None => break,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
