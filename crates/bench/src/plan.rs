//! How long everything takes.

use std::time::Duration;

use crate::measure::Span;

/// More payments than any of these machines carries end to end in a second; so many are made ready for each second of load.
pub(crate) const MOST_END_TO_END_PER_S: f64 = 12_000.0;

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
