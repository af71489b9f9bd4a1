//! How many attempts may be in flight, in all and for one merchant, so that a slow merchant slows nobody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use events::MerchantId;
use time::OffsetDateTime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::store::leases::{Room, Share};

/// How much is done at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Attempts in flight.
    pub workers: u32,
    /// Attempts in flight for one endpoint.
    pub per_endpoint: u32,
}

/// The places for attempts of one process.
#[derive(Debug)]
pub(super) struct Bulkheads {
    limits: Limits,
    workers: Arc<Semaphore>,
    merchants: Mutex<HashMap<MerchantId, Bulkhead>>,
}

#[derive(Debug)]
struct Bulkhead {
    places: Arc<Semaphore>,
    /// Whether something older may wait in the database, which comes before what is new.
    behind: bool,
}

/// A place for one attempt, free again when it is dropped.
#[derive(Debug)]
pub struct Place {
    of_merchant: Option<OwnedSemaphorePermit>,
    _of_workers: OwnedSemaphorePermit,
}

impl Place {
    fn new(of_merchant: OwnedSemaphorePermit, of_workers: OwnedSemaphorePermit) -> Self {
        Self { of_merchant: Some(of_merchant), _of_workers: of_workers }
    }

    /// Makes room for another attempt at the same merchant; the worker stays busy.
    pub(super) fn leave_merchant(&mut self) {
        self.of_merchant = None;
    }
}

impl Bulkheads {
    pub(super) fn new(limits: Limits) -> Self {
        let workers = Arc::new(Semaphore::new(limits.workers as usize));
        Self { limits, workers, merchants: Mutex::default() }
    }

    /// A place for something new, unless there is none, or something older of the merchant waits for one. The merchant then
    /// counts as behind until a claim has found nothing left.
    pub(super) fn for_new(&self, merchant_id: &MerchantId) -> Option<Place> {
        let mut merchants = self.lock();
        let bulkhead = self.of(&mut merchants, merchant_id);
        let place = || {
            let of_merchant = Arc::clone(&bulkhead.places).try_acquire_owned().ok()?;
            let of_workers = Arc::clone(&self.workers).try_acquire_owned().ok()?;
            Some(Place::new(of_merchant, of_workers))
        };
        let place = if bulkhead.behind { None } else { place() };
        bulkhead.behind = place.is_none();
        place
    }

    /// Waits for a place; there is none any more once they are closed.
    pub(super) async fn wait_for(&self, merchant_id: &MerchantId) -> Option<Place> {
        let places = Arc::clone(&self.of(&mut self.lock(), merchant_id).places);
        let of_merchant = places.acquire_owned().await.ok()?;
        let of_workers = Arc::clone(&self.workers).acquire_owned().await.ok()?;
        Some(Place::new(of_merchant, of_workers))
    }

    /// Notes that something of the merchant waits in the database.
    pub(super) fn falls_behind(&self, merchant_id: &MerchantId) {
        self.of(&mut self.lock(), merchant_id).behind = true;
    }

    /// Gives out no more places.
    pub(super) fn close(&self) {
        self.workers.close();
        for bulkhead in self.lock().values() {
            bulkhead.places.close();
        }
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.limits.workers.saturating_sub(available(&self.workers))
    }

    /// Whether a place that becomes free is waited for by something in the database.
    pub(super) fn anybody_behind(&self) -> bool {
        self.lock().values().any(|bulkhead| bulkhead.behind)
    }

    /// What a claim may take, of each merchant what came due after the time that `after` has for it.
    pub(super) fn room(&self, after: &HashMap<MerchantId, OffsetDateTime>) -> Room {
        let mut merchants = self.lock();
        for merchant_id in after.keys() {
            self.of(&mut merchants, merchant_id);
        }
        merchants.retain(|merchant_id, bulkhead| {
            let idle = available(&bulkhead.places) == self.limits.per_endpoint && !bulkhead.behind;
            !idle || after.contains_key(merchant_id)
        });
        let shares = merchants.iter().map(|(merchant_id, bulkhead)| Share {
            merchant_id: merchant_id.clone(),
            share: available(&bulkhead.places),
            after: after.get(merchant_id).copied(),
        });
        Room { total: available(&self.workers), share: self.limits.per_endpoint, shares: shares.collect() }
    }

    /// Notes who may have more waiting, now that a claim of `room` has found so many of each merchant.
    pub(super) fn claimed(&self, room: &Room, found: &HashMap<MerchantId, u32>) {
        let exhausted = found.values().sum::<u32>() >= room.total;
        let mut merchants = self.lock();
        for (merchant_id, found) in found {
            let share = room.shares.iter().find(|share| share.merchant_id == *merchant_id);
            let bulkhead = self.of(&mut merchants, merchant_id);
            bulkhead.behind = exhausted || *found >= share.map_or(room.share, |share| share.share);
        }
        if exhausted {
            return;
        }
        for share in room.shares.iter().filter(|share| share.share > 0) {
            if let (Some(bulkhead), None) =
                (merchants.get_mut(&share.merchant_id), found.get(&share.merchant_id))
            {
                bulkhead.behind = false;
            }
        }
    }

    fn of<'a>(
        &self,
        merchants: &'a mut HashMap<MerchantId, Bulkhead>,
        merchant_id: &MerchantId,
    ) -> &'a mut Bulkhead {
        merchants.entry(merchant_id.clone()).or_insert_with(|| Bulkhead {
            places: Arc::new(Semaphore::new(self.limits.per_endpoint as usize)),
            behind: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MerchantId, Bulkhead>> {
        // Nothing is left half done in it.
        self.merchants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn available(places: &Semaphore) -> u32 {
    u32::try_from(places.available_permits()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { workers: 3, per_endpoint: 2 };

    fn merchant(id: &str) -> MerchantId {
        MerchantId::parse(id).unwrap()
    }

    fn found(counts: &[(&str, u32)]) -> HashMap<MerchantId, u32> {
        counts.iter().map(|(id, count)| (merchant(id), *count)).collect()
    }

    #[test]
    fn a_merchant_has_its_share_and_all_have_the_workers() {
        let bulkheads = Bulkheads::new(LIMITS);
        let of_first = [(); 3].map(|()| bulkheads.for_new(&merchant("m1")));
        assert_eq!(of_first.iter().flatten().count(), 2);
        let of_second = [(); 2].map(|()| bulkheads.for_new(&merchant("m2")));
        assert_eq!(of_second.iter().flatten().count(), 1);
        assert_eq!(bulkheads.in_flight(), 3);
        drop((of_first, of_second));
        assert_eq!(bulkheads.in_flight(), 0);
    }

    #[test]
    fn whoever_was_answered_leaves_its_merchant_before_its_worker() {
        let bulkheads = Bulkheads::new(Limits { workers: 2, per_endpoint: 1 });
        let workers = [(); 2].map(|()| {
            let mut place = bulkheads.for_new(&merchant("m1"));
            place.iter_mut().for_each(Place::leave_merchant);
            place
        });
        assert_eq!(workers.iter().flatten().count(), 2);
        assert!(bulkheads.for_new(&merchant("m1")).is_none(), "no worker is free");
        drop(workers);
        assert_eq!(bulkheads.in_flight(), 0);
    }

    #[test]
    fn what_is_new_comes_after_what_waits() {
        let bulkheads = Bulkheads::new(LIMITS);
        let places = [(); 3].map(|()| bulkheads.for_new(&merchant("m1")));
        drop(places);
        assert!(bulkheads.anybody_behind());
        assert!(
            bulkheads.for_new(&merchant("m1")).is_none(),
            "the one without a place waits in the database"
        );

        let room = bulkheads.room(&HashMap::new());
        bulkheads.claimed(&room, &found(&[("m1", 2)]));
        assert!(bulkheads.for_new(&merchant("m1")).is_none(), "a whole share was found, there may be more");
        bulkheads.claimed(&room, &found(&[("m1", 1)]));
        assert!(bulkheads.for_new(&merchant("m1")).is_some());
    }

    #[test]
    fn a_claim_that_finds_nothing_of_a_merchant_ends_its_waiting() {
        let bulkheads = Bulkheads::new(LIMITS);
        drop([(); 3].map(|()| bulkheads.for_new(&merchant("m1"))));
        let room = bulkheads.room(&HashMap::new());
        bulkheads.claimed(&room, &found(&[("m2", 2), ("m3", 1)]));
        assert!(bulkheads.anybody_behind(), "all workers were given away before its turn");
        bulkheads.claimed(&bulkheads.room(&HashMap::new()), &HashMap::new());
        assert!(!bulkheads.anybody_behind());
        assert!(bulkheads.room(&HashMap::new()).shares.is_empty(), "idle merchants are forgotten");
    }

    #[tokio::test]
    async fn nobody_gets_a_place_after_the_end() {
        let bulkheads = Bulkheads::new(LIMITS);
        let held = bulkheads.wait_for(&merchant("m1")).await;
        bulkheads.close();
        assert!(held.is_some() && bulkheads.wait_for(&merchant("m1")).await.is_none());
        assert!(bulkheads.for_new(&merchant("m1")).is_none());
    }
}
