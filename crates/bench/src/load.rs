//! The load: callbacks sent over kept connections, in a closed loop or at a fixed rate.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::book::Book;
use crate::client::Connection;
use crate::payments::CallbackMaker;
use crate::stats::float;

/// The callbacks of a range of payments.
#[derive(Debug)]
pub(crate) struct Callbacks {
    maker: CallbackMaker,
    range: Range<usize>,
    /// Empty where they are signed when they are sent.
    signed: Vec<Vec<u8>>,
}

impl Callbacks {
    /// Signs all of them in advance, so that the generator stays cheap; they are good for five minutes.
    pub(crate) fn signed(maker: &CallbackMaker, range: Range<usize>) -> Result<Self> {
        let now = OffsetDateTime::now_utc();
        let signed = range.clone().map(|index| maker.request(index, now)).collect::<Result<_>>()?;
        Ok(Self { maker: maker.clone(), range, signed })
    }

    /// Signs each when it is sent, for loads that last.
    pub(crate) fn unsigned(maker: &CallbackMaker, range: Range<usize>) -> Self {
        Self { maker: maker.clone(), range, signed: Vec::new() }
    }

    fn request(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        match self.signed.get(index - self.range.start) {
            Some(request) => Ok(Cow::Borrowed(request)),
            None => Ok(Cow::Owned(self.maker.request(index, OffsetDateTime::now_utc())?)),
        }
    }
}

/// How a load behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// The next one as soon as there is an answer, for so long.
    Closed {
        /// From the start to the last request.
        duration: Duration,
        /// Whether a payment must also wait for room in the book: for one before it to be told to its merchant.
        bounded: bool,
    },
    /// So many a second, whatever the answers; until the range is used up.
    Open {
        /// Payments per second.
        per_second: f64,
    },
}

/// A load that runs.
#[derive(Debug)]
pub(crate) struct Load {
    senders: JoinSet<Result<()>>,
    next: Arc<AtomicUsize>,
    end: usize,
}

struct Sender {
    callbacks: Arc<Callbacks>,
    book: Arc<Book>,
    next: Arc<AtomicUsize>,
    connection: Connection,
    pace: Pace,
    started: Instant,
    /// The same instant by the clock of the book.
    started_in_book: Duration,
}

impl Load {
    /// Starts sending over `connections` connections.
    pub(crate) async fn start(
        address: SocketAddr,
        connections: usize,
        callbacks: Callbacks,
        book: &Arc<Book>,
        pace: Pace,
    ) -> Result<Self> {
        let next = Arc::new(AtomicUsize::new(callbacks.range.start));
        let (end, callbacks) = (callbacks.range.end, Arc::new(callbacks));
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            open.push(Connection::open(address).await?);
        }
        let (started, started_in_book) = (Instant::now(), book.now());
        let mut senders = JoinSet::new();
        for connection in open {
            let sender = Sender {
                callbacks: Arc::clone(&callbacks),
                book: Arc::clone(book),
                next: Arc::clone(&next),
                connection,
                pace,
                started,
                started_in_book,
            };
            senders.spawn(sender.run());
        }
        Ok(Self { senders, next, end })
    }

    /// Waits until all is sent and answered; the first payment that was not sent.
    pub(crate) async fn finish(mut self) -> Result<usize> {
        while let Some(ended) = self.senders.join_next().await {
            ended.context("a sender panicked")??;
        }
        Ok(self.next.load(Ordering::Relaxed).min(self.end))
    }
}

impl Sender {
    async fn run(mut self) -> Result<()> {
        while self.may_send().await {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.callbacks.range.end {
                break;
            }
            self.send(index).await?;
        }
        Ok(())
    }

    /// Waits for its turn; false when the time is over.
    async fn may_send(&self) -> bool {
        let Pace::Closed { duration, bounded } = self.pace else { return true };
        let deadline = self.started + duration;
        if bounded {
            match timeout_at(deadline, self.book.room.acquire()).await {
                Ok(Ok(permit)) => permit.forget(),
                _ => return false,
            }
        }
        Instant::now() < deadline
    }

    async fn send(&mut self, index: usize) -> Result<()> {
        let intended = match self.pace {
            Pace::Closed { .. } => self.book.now(),
            Pace::Open { per_second } => {
                let turn = float((index - self.callbacks.range.start) as u64);
                let after = Duration::from_secs_f64(turn / per_second);
                sleep_until(self.started + after).await;
                self.started_in_book + after
            }
        };
        self.book.intend(index, intended);
        let status = self.connection.exchange(&self.callbacks.request(index)?).await?;
        if !(200..300).contains(&status) {
            bail!("callback {index} was answered with {status}: {}", self.connection.answer_text());
        }
        self.book.accept(index);
        Ok(())
    }
}
