//! What is measured, and how long each takes.

use std::time::Duration;

use clap::ValueEnum;

/// More payments than any of these machines carries end to end in a second; so many are made ready for each second of load.
pub(crate) const MOST_END_TO_END_PER_S: f64 = 12_000.0;

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// What PostgreSQL, RabbitMQ and HTTP can do on this machine, and all of them together.
    Limits,
    /// The baseline.
    Textbook,
    /// Acceptance, end to end, latencies.
    Payrelay,
    /// With five million payments stored.
    GrowthStored,
    /// A million events after an outage of the broker.
    Backlog,
    /// A million notifications waiting for a retry.
    Retries,
    /// Two and four replicas of each consumer.
    Replicas,
    /// Beside a merchant that hangs.
    FairShare,
}

impl Part {
    /// What one round measures.
    pub(crate) const ROUND: [Self; 3] = [Self::Limits, Self::Textbook, Self::Payrelay];
    /// What is measured once, after the rounds.
    pub(crate) const GROWTH: [Self; 5] =
        [Self::GrowthStored, Self::Backlog, Self::Retries, Self::Replicas, Self::FairShare];
}

/// How long a sustained load lasts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// Before the measurement begins.
    pub(crate) warm: Duration,
    /// Of the measurement.
    pub(crate) measured: Duration,
}

/// The durations of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Rounds, of which the medians count.
    pub(crate) rounds: usize,
    /// Of each limit.
    pub(crate) limit: Duration,
    /// Of each acceptance.
    pub(crate) accept: Span,
    /// Of payments end to end.
    pub(crate) sustained: Span,
    /// Of the latencies at half load.
    pub(crate) half_load: Duration,
}

impl Plan {
    /// Three rounds, thirty seconds of sustained load in each.
    pub(crate) const FULL: Self = Self {
        rounds: 3,
        limit: Duration::from_secs(8),
        accept: span(2, 8),
        sustained: span(5, 30),
        half_load: Duration::from_secs(20),
    };

    /// One short round.
    pub(crate) const QUICK: Self = Self {
        rounds: 1,
        limit: Duration::from_secs(4),
        accept: span(1, 4),
        sustained: span(2, 10),
        half_load: Duration::from_secs(8),
    };
}

const fn span(warm: u64, measured: u64) -> Span {
    Span { warm: Duration::from_secs(warm), measured: Duration::from_secs(measured) }
}

/// How many payments a rate makes in a time.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "far below 2^52, and never negative"
)]
pub(crate) fn count(per_second: f64, duration: Duration) -> usize {
    (per_second * duration.as_secs_f64()).ceil() as usize
}
