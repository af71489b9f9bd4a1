//! Inputs for the same functions on stable: known good ones, changed a little by chance.

use proptest::prelude::*;
use proptest::sample::Index;

/// One of `corpus` after up to eight changes of single bytes: replaced, inserted, taken away, or doubled with all behind it.
pub fn mutated(corpus: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<Index>(), any::<u8>(), 0..4_u8), 0..8);
    (prop::sample::select(corpus), changes).prop_map(|(mut bytes, changes)| {
        for (at, byte, change) in changes {
            let at = at.index(bytes.len() + 1);
            match change {
                0 if at < bytes.len() => bytes[at] = byte,
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 => bytes.extend_from_within(at..),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}
