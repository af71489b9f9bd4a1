//! Where in the outbox to begin reading. A hint, never the truth.

use std::time::{Duration, Instant};

/// How long rows are read again after the cursor has passed them: ids are drawn before the commit, so a neighbour may still
/// be committing.
const LAG: Duration = Duration::from_millis(250);
/// How often everything is read, for whoever committed later than that, and for what was postponed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Lets a read skip the dead rows of what was published before. They are many while an old transaction keeps them from being
/// vacuumed, and make reading from the start ten times slower.
#[derive(Debug)]
pub(super) struct Cursor {
    low: i64,
    next_low: i64,
    seen: i64,
    moved_at: Instant,
    swept_at: Instant,
}

impl Cursor {
    /// Begins with everything.
    pub(super) const fn new(now: Instant) -> Self {
        Self { low: 0, next_low: 0, seen: 0, moved_at: now, swept_at: now }
    }

    /// The id above which to read now.
    pub(super) fn start(&mut self, now: Instant) -> i64 {
        if now.duration_since(self.moved_at) >= LAG {
            (self.low, self.next_low, self.moved_at) = (self.next_low, self.seen, now);
        }
        if now.duration_since(self.swept_at) >= SWEEP_INTERVAL {
            self.swept_at = now;
            return 0;
        }
        self.low
    }

    /// Everything up to `id` was read and settled.
    pub(super) fn read_to(&mut self, id: i64) {
        self.seen = self.seen.max(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_with_a_lag_and_sweeps_every_second() {
        let begin = Instant::now();
        let mut cursor = Cursor::new(begin);
        let start_at = |cursor: &mut Cursor, ms| cursor.start(begin + Duration::from_millis(ms));
        cursor.read_to(7);
        assert_eq!(start_at(&mut cursor, 0), 0);
        assert_eq!(start_at(&mut cursor, 249), 0);
        assert_eq!(start_at(&mut cursor, 250), 0);
        cursor.read_to(9);
        assert_eq!(start_at(&mut cursor, 500), 7);
        assert_eq!(start_at(&mut cursor, 750), 9);
        assert_eq!(start_at(&mut cursor, 1000), 0);
        assert_eq!(start_at(&mut cursor, 1001), 9);
    }
}
