//! The delays of the retry queues, as configured by `PAYRELAY_RETRY_DELAYS`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How long a message waits before its second, third, … attempt; each delay is a queue shared by all consumers.
///
/// Written as `5s,30s,5m` (units `ms`, `s`, `m`, `h`): one to ten delays, each between 1 ms and 24 h.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryDelays(Vec<Duration>);

/// The text is not a list of delays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a list of one to ten delays between 1ms and 24h, as 5s,30s,5m")]
pub struct InvalidRetryDelays(String);

const MAX_DELAYS: usize = 10;
const MAX_DELAY: Duration = Duration::from_secs(24 * 60 * 60);

impl RetryDelays {
    /// The delays in order, shortest wait as configured first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Duration> + '_ {
        self.0.iter().copied()
    }

    /// The delay after `attempts` failed attempts (one or more), `None` when they are used up.
    pub fn after(&self, attempts: u32) -> Option<Duration> {
        self.0.get(usize::try_from(attempts).ok()?.checked_sub(1)?).copied()
    }

    /// The name of a delay's queue and of the fanout exchange before it, as `pay.retry.5m`.
    pub fn queue_name(delay: Duration) -> String {
        format!("pay.retry.{}", Text(delay))
    }
}

impl Default for RetryDelays {
    /// `5s,30s,5m`.
    fn default() -> Self {
        Self([5, 30, 300].map(Duration::from_secs).to_vec())
    }
}

impl FromStr for RetryDelays {
    type Err = InvalidRetryDelays;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidRetryDelays(text.to_owned());
        let delays: Option<Vec<_>> = text.split(',').map(|delay| parse_delay(delay.trim())).collect();
        delays.filter(|delays| delays.len() <= MAX_DELAYS).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for RetryDelays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, delay) in self.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { "," }, Text(delay))?;
        }
        Ok(())
    }
}

/// Largest unit first, so that a delay is written with the largest one that divides it.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

fn parse_delay(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let delay = Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(*unit_ms)?);
    (Duration::from_millis(1)..=MAX_DELAY).contains(&delay).then_some(delay)
}

/// Equal delays are written alike (60s as 1m), for the text names a queue.
struct Text(Duration);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (unit, unit_ms) =
            UNITS.iter().find(|(_, unit_ms)| ms.is_multiple_of(*unit_ms)).unwrap_or(&UNITS[3]);
        write!(f, "{}{unit}", ms / unit_ms)
    }
}

#[cfg(test)]
mod tests;
