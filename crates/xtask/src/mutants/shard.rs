//! A part of all mutants.

use std::fmt;
use std::str::FromStr;

/// The most parts; more would only repeat the building.
const MAX_SHARDS: usize = 64;

/// One of some parts of the mutants, all about as large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    /// From 0.
    index: usize,
    count: usize,
}

impl Shard {
    /// Whether there is but one part.
    pub(super) fn is_all(self) -> bool {
        self.count == 1
    }

    /// Whether the mutant at this place belongs to it.
    pub(super) fn has(self, place: usize) -> bool {
        place % self.count == self.index
    }

    /// As cargo-mutants counts, from 0.
    pub(super) fn counted_from_zero(self) -> String {
        format!("{}/{}", self.index, self.count)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(number, count)| {
            let (number, count): (usize, usize) = (number.parse().ok()?, count.parse().ok()?);
            (count <= MAX_SHARDS && (1..=count).contains(&number)).then(|| Self { index: number - 1, count })
        });
        parsed.ok_or_else(|| format!("expected K/N with 1 <= K <= N <= {MAX_SHARDS}"))
    }
}
