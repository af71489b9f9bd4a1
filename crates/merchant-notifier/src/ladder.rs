//! When a failed notification is tried again: pure functions of delays, answers and a random number.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// The delays of WeChat Pay, which merchants know: 16 attempts over about a day.
pub const DEFAULT_LADDER: &str = "15s,15s,30s,3m,10m,20m,30m,30m,30m,60m,3h,3h,3h,6h,6h";
/// The most that a merchant's `Retry-After` can defer an attempt.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(6 * 3600);
/// The share of a delay by which attempts are scattered, so that an outage's victims do not return all at once.
const JITTER: f64 = 0.1;
const MAX_RUNGS: usize = 64;
const MAX_DELAY: Duration = Duration::from_secs(7 * 24 * 3600);

/// The delays after the first, second, … failed attempt: 1 to 64 of them, each at most 7 days.
///
/// ```
/// let ladder: merchant_notifier::Ladder = "15s,3m,500ms".parse()?;
/// assert_eq!(ladder.to_string(), "15s,180s,500ms");
/// # Ok::<(), merchant_notifier::InvalidLadder>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder(Vec<Duration>);

/// A text that is no ladder.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected 1 to {MAX_RUNGS} delays of 1ms to 7 days as `15s,3m,6h` (ms, s, m, h), got {0:?}")]
pub struct InvalidLadder(String);

impl Ladder {
    /// The delay after the failed attempt number `attempt` (from 1); `None` when it was the last.
    ///
    /// `random` in 0..1 scatters it by ±10 %.
    pub fn delay(&self, attempt: u32, random: f64) -> Option<Duration> {
        let rung = usize::try_from(attempt).ok()?.checked_sub(1)?;
        let factor = 1.0 + JITTER * (2.0 * random - 1.0);
        self.0.get(rung).map(|delay| delay.mul_f64(factor))
    }

    /// The last delay, which no attempt has behind it any more.
    pub fn last(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }

    /// The delays in milliseconds, as the database keeps them.
    pub fn to_millis(&self) -> Vec<i64> {
        let millis = |delay: &Duration| i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        self.0.iter().map(millis).collect()
    }

    /// The inverse of [`Ladder::to_millis`].
    pub fn from_millis(millis: &[i64]) -> Result<Self, InvalidLadder> {
        let delays: Option<Vec<_>> =
            millis.iter().map(|delay| u64::try_from(*delay).ok().map(Duration::from_millis)).collect();
        delays.and_then(Self::new).ok_or_else(|| InvalidLadder(format!("{millis:?} ms")))
    }

    fn new(delays: Vec<Duration>) -> Option<Self> {
        let valid = (1..=MAX_RUNGS).contains(&delays.len())
            && delays.iter().all(|delay| (Duration::from_millis(1)..=MAX_DELAY).contains(delay));
        valid.then_some(Self(delays))
    }
}

impl Default for Ladder {
    /// [`DEFAULT_LADDER`].
    fn default() -> Self {
        DEFAULT_LADDER.parse().expect("the default ladder is valid, as its test shows")
    }
}

impl FromStr for Ladder {
    type Err = InvalidLadder;

    fn from_str(text: &str) -> Result<Self, InvalidLadder> {
        let delays: Option<Vec<_>> = text.split(',').map(|rung| parse_delay(rung.trim())).collect();
        delays.and_then(Self::new).ok_or_else(|| InvalidLadder(text.to_owned()))
    }
}

impl fmt::Display for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rungs().join(","))
    }
}

impl Ladder {
    /// Each delay as text, as `15s`.
    pub fn rungs(&self) -> Vec<String> {
        let rung = |delay: &Duration| match delay.subsec_millis() {
            0 => format!("{}s", delay.as_secs()),
            _ => format!("{}ms", delay.as_millis()),
        };
        self.0.iter().map(rung).collect()
    }
}

fn parse_delay(text: &str) -> Option<Duration> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(unit_ms).map(Duration::from_millis)
}

/// What a `Retry-After` header asks for (RFC 9110, section 10.2.3): seconds, or a date in any of the three forms of section 5.6.7. At most [`MAX_RETRY_AFTER`];
/// `None` for what is neither, and for the past.
pub fn retry_after(header: &str, now: OffsetDateTime) -> Option<Duration> {
    let header = header.trim();
    let wait = if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit ask for longer than we wait in any case.
        header.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs)
    } else {
        // Of mails it has another zone, or a day of the week that is wrong: no more than a date is needed.
        let of_mail = || OffsetDateTime::parse(header, &Rfc2822).ok();
        let date = httpdate::parse_http_date(header).ok().map(OffsetDateTime::from).or_else(of_mail)?;
        (date - now).try_into().ok()?
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn the_default_ladder_has_fifteen_rungs_and_takes_about_a_day() {
        let ladder: Ladder = DEFAULT_LADDER.parse().unwrap();
        let delays: Vec<_> = (1..).map_while(|attempt| ladder.delay(attempt, 0.5)).collect();
        assert_eq!(delays.len(), 15);
        assert_eq!(delays[0], Duration::from_secs(15));
        assert_eq!(delays[3], Duration::from_secs(180));
        assert_eq!(delays.iter().sum::<Duration>(), Duration::from_secs(86_640));
    }

    #[test]
    fn delays_are_scattered_by_a_tenth_and_end() {
        let ladder: Ladder = "10s".parse().unwrap();
        assert_eq!(ladder.delay(1, 0.0), Some(Duration::from_secs(9)));
        assert_eq!(ladder.delay(1, 1.0), Some(Duration::from_secs(11)));
        assert_eq!(ladder.delay(2, 0.5), None);
        assert_eq!(ladder.delay(0, 0.5), None);
    }

    #[test]
    fn a_ladder_survives_text_and_millis() {
        let ladder: Ladder = "250ms, 15s,3m,6h".parse().unwrap();
        assert_eq!(ladder.to_string().parse::<Ladder>().unwrap(), ladder);
        assert_eq!(Ladder::from_millis(&ladder.to_millis()).unwrap(), ladder);
    }

    #[test]
    fn what_is_no_ladder_is_refused() {
        for text in [
            "",
            "15",
            "s",
            "0s",
            "-1s",
            "1d",
            "1s,,2s",
            "169h",
            "99999999999999999999s",
            "1.5s",
            &"1s,".repeat(65),
        ] {
            assert!(text.parse::<Ladder>().is_err(), "{text:?}");
        }
        assert!(Ladder::from_millis(&[]).is_err() && Ladder::from_millis(&[-1]).is_err());
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_capped() {
        let now = datetime!(1994-11-06 08:49:07 UTC);
        let seconds = |header: &str| retry_after(header, now).map(|wait| wait.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds(" 0 "), Some(0));
        for date in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(seconds(date), Some(30), "{date}");
        }
        assert_eq!(seconds("Sun, 06 Nov 1994 08:00:00 GMT"), None);
        assert_eq!(seconds("Sun, 06 Nov 2094 08:49:37 GMT"), Some(MAX_RETRY_AFTER.as_secs()));
        assert_eq!(seconds("99999999999999999999999"), Some(MAX_RETRY_AFTER.as_secs()));
        for header in ["", "-1", "1.5", "soon"] {
            assert_eq!(seconds(header), None, "{header:?}");
        }
    }
}
