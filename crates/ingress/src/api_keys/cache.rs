//! Keys that were looked up just now.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::store::merchants::Merchant;

/// How long a key that was found is taken without looking again; a merchant that is disabled, or a key that has ended, may
/// go on for as long.
const CACHE_TTL: Duration = Duration::from_secs(2);
/// Merchants that are active within those seconds; beyond it the cache starts anew.
const CACHE_CAPACITY: usize = 10_000;

/// The merchants whose keys were looked up just now, by the hashes of their keys.
#[derive(Debug, Default)]
pub(crate) struct KeyCache(Mutex<HashMap<[u8; 32], (Instant, Merchant)>>);

impl KeyCache {
    pub(super) fn get(&self, hash: &[u8; 32]) -> Option<Merchant> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cached.get(hash).filter(|(at, _)| at.elapsed() < CACHE_TTL).map(|(_, merchant)| merchant.clone())
    }

    pub(super) fn put(&self, hash: [u8; 32], merchant: Merchant) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.len() >= CACHE_CAPACITY {
            cached.clear();
        }
        cached.insert(hash, (Instant::now(), merchant));
    }
}
