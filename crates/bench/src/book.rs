//! The book of all payments of one run: when each was meant to be sent, accepted, and told to its merchant.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use time::OffsetDateTime;
use tokio::sync::Semaphore;

/// Times are in nanoseconds since the book was opened; 0 is never.
#[derive(Debug)]
pub(crate) struct Book {
    opened: Instant,
    opened_at: OffsetDateTime,
    payments: Vec<Entry>,
    accepted: AtomicU64,
    delivered: AtomicU64,
    /// Webhooks that did not verify, or told of no payment of the book.
    forged: AtomicU64,
    /// One for each payment that may still be sent before another is delivered.
    pub(crate) room: Semaphore,
}

#[derive(Debug, Default)]
struct Entry {
    intended: AtomicU64,
    accepted: AtomicU64,
    delivered: AtomicU64,
    deliveries: AtomicU8,
}

/// What happens to a payment.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// The channel was answered with success.
    Accepted,
    /// The merchant got its verified webhook.
    Delivered,
}

impl Book {
    /// A book of payments 0 to `payments`.
    pub(crate) fn open(payments: usize) -> Self {
        Self {
            opened: Instant::now(),
            opened_at: OffsetDateTime::now_utc(),
            payments: std::iter::repeat_with(Entry::default).take(payments).collect(),
            accepted: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            forged: AtomicU64::new(0),
            room: Semaphore::new(0),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.payments.len()
    }

    /// When the book was opened, to turn its times into those of databases.
    pub(crate) fn opened_at(&self) -> OffsetDateTime {
        self.opened_at
    }

    /// The time since the book was opened.
    pub(crate) fn now(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Notes when a payment was meant to be sent.
    pub(crate) fn intend(&self, index: usize, at: Duration) {
        if let Some(entry) = self.payments.get(index) {
            entry.intended.store(nanos(at), Ordering::Relaxed);
        }
    }

    /// Notes that a payment was accepted just now.
    pub(crate) fn accept(&self, index: usize) {
        if let Some(entry) = self.payments.get(index) {
            entry.accepted.store(nanos(self.now()), Ordering::Relaxed);
            self.accepted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that a merchant was told of a payment just now.
    pub(crate) fn deliver(&self, index: usize) {
        let Some(entry) = self.payments.get(index) else {
            self.forge();
            return;
        };
        if entry.deliveries.fetch_add(1, Ordering::Relaxed) == 0 {
            entry.delivered.store(nanos(self.now()), Ordering::Relaxed);
            self.delivered.fetch_add(1, Ordering::Relaxed);
            self.room.add_permits(1);
        }
    }

    /// Notes a webhook that is not to be believed.
    pub(crate) fn forge(&self) {
        self.forged.fetch_add(1, Ordering::Relaxed);
    }

    /// Payments that were accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Payments whose merchants were told so far.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Nanoseconds from the intended sending to `step`, ascending, of those payments of the range that got there.
    pub(crate) fn latencies(&self, range: std::ops::Range<usize>, step: Step) -> Vec<u64> {
        let entries = self.payments.get(range).unwrap_or_default();
        let latency = |entry: &Entry| {
            let reached = match step {
                Step::Accepted => &entry.accepted,
                Step::Delivered => &entry.delivered,
            };
            let reached = reached.load(Ordering::Relaxed);
            (reached > 0).then(|| reached.saturating_sub(entry.intended.load(Ordering::Relaxed)))
        };
        let mut latencies: Vec<u64> = entries.iter().filter_map(latency).collect();
        latencies.sort_unstable();
        latencies
    }

    /// Every payment that was accepted was told once, no other was told, and nothing was forged.
    pub(crate) fn check(&self) -> Result<()> {
        let forged = self.forged.load(Ordering::Relaxed);
        ensure!(forged == 0, "{forged} webhooks did not verify, or told of unknown payments");
        for (index, entry) in self.payments.iter().enumerate() {
            let accepted = u8::from(entry.accepted.load(Ordering::Relaxed) > 0);
            let deliveries = entry.deliveries.load(Ordering::Relaxed);
            ensure!(
                deliveries == accepted,
                "payment {index} was accepted {accepted} times and told {deliveries} times"
            );
        }
        Ok(())
    }
}

fn nanos(duration: Duration) -> u64 {
    // 0 stands for never.
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_told_once_is_good_and_any_other_number_is_not() {
        let book = Book::open(2);
        book.accept(1);
        assert!(book.check().is_err());
        book.deliver(1);
        book.check().unwrap();
        assert_eq!((book.accepted(), book.delivered(), book.room.available_permits()), (1, 1, 1));
        book.deliver(1);
        assert!(book.check().is_err());
        assert_eq!((book.delivered(), book.room.available_permits()), (1, 1));
    }

    #[test]
    fn what_was_never_paid_may_not_be_told() {
        let book = Book::open(2);
        book.deliver(0);
        assert!(book.check().is_err());
        let book = Book::open(2);
        book.deliver(2);
        assert!(book.check().is_err());
    }

    #[test]
    fn latencies_count_from_the_intended_time() {
        let book = Book::open(3);
        for index in 0..2 {
            book.intend(index, book.now());
            book.accept(index);
        }
        book.intend(0, Duration::ZERO);
        let latencies = book.latencies(0..3, Step::Accepted);
        assert_eq!(latencies.len(), 2);
        assert!(latencies[0] <= latencies[1]);
        assert!(book.latencies(0..3, Step::Delivered).is_empty());
    }
}
