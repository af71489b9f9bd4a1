//! A dead-letter queue in an operator's hands: look, replay, discard.
//!
//! Messages are taken one by one without acknowledgement. What is not removed goes back when the channel ends, in whatever
//! way; so an interruption at any point loses nothing. A message that is taken here is seen by nobody else meanwhile; so two
//! operators at once never take the same one.

mod letter;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};

pub use letter::DeadLetter;

use crate::connection::within;
use crate::{Broker, ConsumerQueue, Error, PublishError, PublishOutcome, Publisher, connection, refusal};

/// For one request on a connection that stands.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages that are put back at a time.
const RETURNS_ON_THEIR_WAY: usize = 16;
/// How long to wait until the broker has put those back.
const RETURN_TIMEOUT: Duration = Duration::from_secs(1);
const RETURN_POLL: Duration = Duration::from_millis(2);
const NOT_FOUND: u16 = 404;

/// Messages of one queue that a look takes at most: at 64 KiB each they fit into memory.
pub const MAX_INSPECTED: usize = 1000;

/// Messages that [`DeadLetters::replay`] and [`DeadLetters::discard`] take at most. The broker has 32 acknowledgements of a
/// channel under way to a quorum queue; those past them wait in the channel, and are lost when it ends. The next message is taken
/// only after all before it have reached the queue.
pub const MAX_REMOVED: usize = 32;

/// Why messages were not replayed: all of them are still in the dead-letter queue when the channel has ended.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// They may have been published, or not. Replaying them again is safe, for consumers absorb duplicates.
    #[error("not published: {0}")]
    Publish(#[from] PublishError),
    /// They were published and not all could be removed: those will be replayed again.
    #[error(transparent)]
    Broker(#[from] Error),
}

/// One dead-letter queue, opened on a connection of its own. It shows each message once, and no more of them than there
/// were when it was opened: what is replayed and fails again meanwhile is not replayed for ever.
pub struct DeadLetters {
    queue: ConsumerQueue,
    connection: Connection,
    channel: Channel,
    depth: u32,
    unseen: u32,
    /// Delivery tags of what is taken and not removed, in the order of the queue.
    held: BTreeSet<u64>,
}

impl std::fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetters")
            .field("queue", &self.queue.dead_letter_queue())
            .field("depth", &self.depth)
            .field("unseen", &self.unseen)
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

impl DeadLetters {
    /// Opens the dead-letter queue of a main queue; `None` if there is no such queue.
    pub async fn open(broker: &Broker, queue: &ConsumerQueue) -> Result<Option<Self>, Error> {
        let connection = broker.connect().await?;
        let opened = async {
            let channel = request("open a channel", connection.create_channel()).await?;
            let depth = ready(&channel, &queue.dead_letter_queue()).await?;
            Ok::<_, Error>((channel, depth))
        };
        match opened.await {
            Ok((channel, depth)) => Ok(Some(Self {
                queue: queue.clone(),
                connection,
                channel,
                depth,
                unseen: depth,
                held: BTreeSet::new(),
            })),
            Err(error) => {
                connection::close(&connection).await;
                if error.reply_code() == Some(NOT_FOUND) { Ok(None) } else { Err(error) }
            }
        }
    }

    /// Looks at the head of the queue, at [`MAX_INSPECTED`] messages at most, and leaves everything as it is: how many there are,
    /// and what was seen. `None` if there is no such queue.
    pub async fn look(
        broker: &Broker,
        queue: &ConsumerQueue,
    ) -> Result<Option<(u32, Vec<DeadLetter>)>, Error> {
        let Some(mut letters) = Self::open(broker, queue).await? else { return Ok(None) };
        let seen = letters.gather(MAX_INSPECTED, |_| true).await;
        let depth = letters.depth;
        // What went wrong first says why; a channel that is closed for it cannot be closed again.
        let closed = letters.close().await;
        let seen = seen?;
        closed.map(|()| Some((depth, seen)))
    }

    /// How many messages were there when it was opened, those not counted that somebody else had taken.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// Takes the next messages that match, at most `limit`; fewer, or none, when all have been seen. Those that do not
    /// match are held back until the end, so that nothing is seen twice.
    pub async fn gather(
        &mut self,
        limit: usize,
        matches: impl Fn(&DeadLetter) -> bool,
    ) -> Result<Vec<DeadLetter>, Error> {
        let mut gathered = Vec::new();
        while gathered.len() < limit && self.unseen > 0 {
            let Some(letter) = self.take().await? else { break };
            if matches(&letter) {
                gathered.push(letter);
            }
        }
        Ok(gathered)
    }

    async fn take(&mut self) -> Result<Option<DeadLetter>, Error> {
        let name = self.queue.dead_letter_queue();
        let getting = self.channel.basic_get(name.into(), BasicGetOptions::default());
        let Some(BasicGetMessage { delivery, .. }) = request("take a message", getting).await? else {
            self.unseen = 0;
            return Ok(None);
        };
        self.unseen -= 1;
        self.held.insert(delivery.delivery_tag);
        Ok(Some(DeadLetter::new(&self.queue, delivery)))
    }

    /// Publishes messages to the main queue itself, with no attempt counted, and removes those that are confirmed to be
    /// there. One outcome for each message; those that are not [`PublishOutcome::Confirmed`] stay.
    ///
    /// # Panics
    /// When these are more than [`MAX_REMOVED`], or when the publisher breaks its promise of one outcome for each message.
    pub async fn replay(
        &mut self,
        publisher: &Publisher,
        letters: &[DeadLetter],
    ) -> Result<Vec<PublishOutcome>, ReplayError> {
        assert!(letters.len() <= MAX_REMOVED, "their acknowledgements could be lost");
        let messages = letters.iter().map(|letter| letter.replayed(&self.queue)).collect();
        let outcomes = publisher.publish(messages).await?;
        assert_eq!(letters.len(), outcomes.len(), "each message has its outcome, or none is removed");
        let confirmed =
            letters.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == PublishOutcome::Confirmed);
        self.remove(confirmed.map(|(letter, _)| letter)).await?;
        Ok(outcomes)
    }

    /// Removes messages for good, once `write` has put them where they are safe.
    ///
    /// # Errors
    /// `write`'s own, and all stay; or the broker's, and any may have stayed.
    ///
    /// # Panics
    /// When these are more than [`MAX_REMOVED`].
    pub async fn discard<E: From<Error>>(
        &mut self,
        letters: &[DeadLetter],
        write: impl FnOnce(&[DeadLetter]) -> Result<(), E>,
    ) -> Result<(), E> {
        assert!(letters.len() <= MAX_REMOVED, "their acknowledgements could be lost");
        write(letters)?;
        Ok(self.remove(letters).await?)
    }

    async fn remove(&mut self, letters: impl IntoIterator<Item = &DeadLetter>) -> Result<(), Error> {
        for letter in letters {
            let acknowledging = self.channel.basic_ack(letter.tag, BasicAckOptions::default());
            request("remove a message", acknowledging).await?;
            self.held.remove(&letter.tag);
        }
        Ok(())
    }

    /// Gives everything back that was not removed, in its order, and waits until it is there again, for whoever looks next
    /// would find nothing. What went back once goes before all else, so that the order of a queue changes when fewer are
    /// looked at than have gone back before; [`DeadLetters::look`] always looks at as many.
    ///
    /// # Errors
    /// It is not known whether all that was removed has left the queue.
    pub async fn close(self) -> Result<(), Error> {
        let closed = self.give_back().await;
        connection::close(&self.connection).await;
        closed
    }

    /// A few at a time, one by one: what a quorum queue gets back at once, when a channel ends or past the 32 commands
    /// that the broker keeps on their way, comes back in an order of its own.
    async fn give_back(&self) -> Result<(), Error> {
        let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        let name = self.queue.dead_letter_queue();
        let held: Vec<_> = self.held.iter().copied().collect();
        let mut alone = true;
        for tags in held.chunks(RETURNS_ON_THEIR_WAY) {
            let deadline = Instant::now() + RETURN_TIMEOUT;
            let expected = ready(&self.channel, &name).await? as usize + tags.len();
            for tag in tags {
                request("give a message back", self.channel.basic_nack(*tag, requeue)).await?;
            }
            // Somebody who takes them at once makes the wait pointless, and the order is theirs.
            while alone && (ready(&self.channel, &name).await? as usize) < expected {
                tokio::time::sleep(RETURN_POLL).await;
                alone = Instant::now() < deadline;
            }
        }
        request("close a channel", self.channel.close(200, "OK".into())).await
    }
}

/// How many messages of a queue are held by nobody.
async fn ready(channel: &Channel, queue: &str) -> Result<u32, Error> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declaring = channel.queue_declare(queue.into(), passive, FieldTable::default());
    Ok(request("look at a queue", declaring).await?.message_count())
}

async fn request<T>(what: &'static str, request: impl Future<Output = lapin::Result<T>>) -> Result<T, Error> {
    within(what, REQUEST_TIMEOUT, request).await?.map_err(refusal::of(refusal::CONSUME))
}
