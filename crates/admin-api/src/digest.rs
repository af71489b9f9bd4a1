//! An order-independent digest of a set of event ids, by which two services compare what they hold.

use std::fmt;

use events::EventId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

/// The digest of a set: the wrapping sum of a 64-bit hash of every id. Sets that differ in one id differ in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IdSetDigest(u64);

impl IdSetDigest {
    /// Adds one id; the order of additions does not matter.
    pub fn add(&mut self, id: EventId) {
        self.0 = self.0.wrapping_add(hash(id));
    }

    /// The digest of the union of two sets that have no id in common.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    /// The digest of the set without a part of it.
    #[must_use]
    pub fn without(self, part: Self) -> Self {
        Self(self.0.wrapping_sub(part.0))
    }

    /// The digest whose hashes, each read as a signed number of 64 bits, have this sum: PostgreSQL has no unsigned ones.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what is above 64 bits has wrapped around"
    )]
    pub const fn from_signed_sum(sum: i128) -> Self {
        Self(sum as u64)
    }
}

impl fmt::Display for IdSetDigest {
    /// Sixteen hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for IdSetDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IdSetDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16)
            .map(Self)
            .map_err(|_| de::Error::custom(format_args!("digest: expected hexadecimal digits, got {text:?}")))
    }
}

impl FromIterator<EventId> for IdSetDigest {
    fn from_iter<I: IntoIterator<Item = EventId>>(ids: I) -> Self {
        let mut digest = Self::default();
        ids.into_iter().for_each(|id| digest.add(id));
        digest
    }
}

/// The first eight bytes of the SHA-256 of the id, big-endian: near ids do not cancel each other out.
fn hash(id: EventId) -> u64 {
    let bytes: [u8; 32] = Sha256::digest(id.0.as_bytes()).into();
    bytes.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn ids(count: u128) -> Vec<EventId> {
        (1..=count).map(|number| EventId(Uuid::from_u128(number))).collect()
    }

    #[test]
    fn depends_on_the_set_and_not_on_the_order() {
        let ids = ids(9);
        let forward: IdSetDigest = ids.iter().copied().collect();
        assert_eq!(forward, ids.iter().rev().copied().collect());
        assert_ne!(forward, ids.iter().skip(1).copied().collect());
        let (head, tail) = ids.split_at(4);
        let parts = [head, tail].map(|ids| ids.iter().copied().collect::<IdSetDigest>());
        assert_eq!(parts[0].union(parts[1]), forward);
        assert_eq!(forward.without(parts[1]), parts[0]);
        let json = serde_json::to_string(&forward).unwrap();
        assert_eq!(serde_json::from_str::<IdSetDigest>(&json).unwrap(), forward);
        assert!(serde_json::from_str::<IdSetDigest>("\"\"").is_err());
    }

    #[test]
    fn a_sum_of_signed_numbers_is_the_same_digest() {
        let ids = ids(99);
        let signed = ids.iter().map(|id| i128::from(hash(*id).cast_signed())).sum();
        assert_eq!(IdSetDigest::from_signed_sum(signed), ids.into_iter().collect());
    }
}
