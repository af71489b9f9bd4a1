//! An order-independent digest of a set of event ids, by which two services compare what they hold.

use sha2::{Digest, Sha256};

use crate::EventId;

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

    /// Reads what [`to_hex`](Self::to_hex) wrote; `None` if it is anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }

    /// Sixteen hexadecimal digits.
    pub fn to_hex(self) -> String {
        format!("{:016x}", self.0)
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
    use super::*;

    #[test]
    fn depends_on_the_set_and_not_on_the_order() {
        let ids: Vec<_> = (0..9).map(|_| EventId::generate()).collect();
        let forward: IdSetDigest = ids.iter().copied().collect();
        assert_eq!(forward, ids.iter().rev().copied().collect());
        assert_ne!(forward, ids.iter().skip(1).copied().collect());
        let (head, tail) = ids.split_at(4);
        let parts = [head, tail].map(|ids| ids.iter().copied().collect::<IdSetDigest>());
        assert_eq!(parts[0].union(parts[1]), forward);
        assert_eq!(IdSetDigest::from_hex(&forward.to_hex()), Some(forward));
    }
}
