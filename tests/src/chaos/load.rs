//! The load: shoppers who pay in every way there is, until they are stopped.

mod script;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::history::History;
use crate::upstream::Publisher;
use crate::world::World;

/// Shoppers at a time.
const SHOPPERS: u64 = 16;
/// Shoppers number their orders in turn.
const STRIDE: usize = 16;
/// Between two payments of one shopper.
const PAUSE_MS: std::ops::Range<u64> = 50..350;

/// Shoppers at work.
pub(crate) struct Load {
    history: Arc<Mutex<History>>,
    closing: CancellationToken,
    shoppers: JoinSet<()>,
}

impl Load {
    /// Starts paying.
    pub(crate) fn start(world: &Arc<World>, seed: u64) -> Self {
        let publisher = Arc::new(Publisher::new(world.servers.amqp_url()));
        let mut load =
            Self { history: Arc::default(), closing: CancellationToken::new(), shoppers: JoinSet::new() };
        for shopper in 0..SHOPPERS {
            let (world, publisher) = (Arc::clone(world), Arc::clone(&publisher));
            let (history, closing) = (Arc::clone(&load.history), load.closing.clone());
            load.shoppers.spawn(async move {
                let mut random = StdRng::seed_from_u64(seed ^ (shopper + 1));
                for index in (shopper..).step_by(STRIDE) {
                    let (payments, poison) = script::run(&world, &publisher, index, &mut random).await;
                    {
                        let mut history = locked(&history);
                        history.payments.extend(payments);
                        history.poison.extend(poison);
                    }
                    if closing.is_cancelled() {
                        break;
                    }
                    sleep(Duration::from_millis(random.random_range(PAUSE_MS))).await;
                }
            });
        }
        load
    }

    /// How many orders have been dealt with so far.
    pub(crate) fn count(&self) -> usize {
        locked(&self.history).payments.len()
    }

    /// Lets the shoppers finish, and returns what they did.
    pub(crate) async fn finish(mut self) -> Result<History> {
        self.closing.cancel();
        while let Some(ended) = self.shoppers.join_next().await {
            ended?;
        }
        Ok(std::mem::take(&mut *locked(&self.history)))
    }
}

fn locked(history: &Mutex<History>) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}
