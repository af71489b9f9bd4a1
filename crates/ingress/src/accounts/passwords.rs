//! Checking pay passwords: few at once, and of each user one after the other, counted before it is looked at.
//!
//! A hash takes 19 MiB and some 20 ms of a core on purpose, so whoever sends many at once must not get them all worked on at
//! once. A merchant has no more of them among those that wait for a place than there are places, so that the crowd of one does not
//! stand before the few of another. And one user's are worked on in turn: many right ones at the same time would else be taken for
//! guesses.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use axum::http::StatusCode;
use events::to_micros;
use runtime::ApiError;
use service::Problem;
use storage::Database;
use time::OffsetDateTime;
use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::password::{DUMMY_HASH, PayPassword};
use crate::store::users::{self, UserKey, WINDOW};

/// Of the cores, so many are left to everything else for one that hashes.
const CORES_PER_PLACE: usize = 2;
/// Places at most, 152 MiB together.
const MAX_PLACES: usize = 8;
/// Longest wait for a turn and a place. What comes when all are taken is not counted against the user.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Users are divided among so many turns, and merchants among so many shares.
const TURNS: usize = 256;

/// Where passwords are hashed.
#[derive(Debug)]
pub(crate) struct Passwords {
    places: Arc<Semaphore>,
    /// Of the places, and of the wait for them.
    shares: [Semaphore; TURNS],
    turns: [Mutex<()>; TURNS],
    max_wait: Duration,
}

/// A user's turn to have a password hashed, and a place for it. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    place: OwnedSemaphorePermit,
    _user: MutexGuard<'a, ()>,
    _share: SemaphorePermit<'a>,
}

impl Default for Passwords {
    /// As many places as this machine bears.
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, NonZero::get);
        Self::new((cores / CORES_PER_PLACE).clamp(1, MAX_PLACES), MAX_WAIT)
    }
}

impl Passwords {
    fn new(places: usize, max_wait: Duration) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            shares: std::array::from_fn(|_| Semaphore::new(places)),
            turns: [const { Mutex::const_new(()) }; TURNS],
            max_wait,
        }
    }

    /// Waits for the user's turn and a place; `busy` (503) if that takes too long.
    pub(crate) async fn turn(&self, user: &UserKey) -> Result<Turn<'_>, Problem> {
        let deadline = Instant::now() + self.max_wait;
        // No semaphore is ever closed. The share first: who waits for it keeps no other merchant's users waiting.
        let share = timeout_at(deadline, self.shares[index(&user.merchant_id)].acquire()).await;
        let share = share.ok().and_then(Result::ok).ok_or_else(busy)?;
        let turn = timeout_at(deadline, self.turns[index(user)].lock()).await.map_err(|_| busy())?;
        let place = timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await;
        let place = place.ok().and_then(Result::ok).ok_or_else(busy)?;
        Ok(Turn { place, _user: turn, _share: share })
    }
}

/// Where `key` belongs among the turns or the shares.
fn index(key: &impl Hash) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    usize::try_from(hasher.finish() % TURNS as u64).expect("it is below the number of turns")
}

impl Turn<'_> {
    /// The hash of a new user's password.
    pub(super) async fn hash(self, password: PayPassword) -> Result<String, Problem> {
        hashing(self.place, move || password.hash()).await
    }

    /// Whether `password` is the user's: else 403 `wrong_pay_password`, also if there is no such user, which takes as long; 429
    /// `too_many_attempts` if too many were wrong of late, be this one right or wrong.
    pub(crate) async fn check(
        self,
        database: &Database,
        user: &UserKey,
        password: &PayPassword,
    ) -> Result<(), ApiError> {
        let now = to_micros(OffsetDateTime::now_utc());
        let known = {
            // Given back while the password is hashed.
            let client = database.client().await?;
            let known = users::find(&client, user, now).await?;
            if let Some(until) = known.as_ref().and_then(|known| known.locked_until) {
                return Err(too_many_attempts(user, until - now).into());
            }
            // Another replica may have counted the last one meanwhile.
            if known.is_some() && !users::count_attempt(&client, user, now).await? {
                return Err(too_many_attempts(user, WINDOW).into());
            }
            known
        };
        let exists = known.is_some();
        let hash = known.map_or_else(|| DUMMY_HASH.to_owned(), |known| known.password_hash);
        let password = password.clone();
        let right = hashing(self.place, move || password.matches_hash(&hash)).await?;
        if !(right && exists) {
            let detail = "there is no such user, or the pay password is another one";
            return Err(Problem::new(StatusCode::FORBIDDEN, "wrong_pay_password", detail).into());
        }
        let client = database.client().await?;
        Ok(users::forget_attempts(&client, user).await?)
    }
}

/// Runs `work` on a thread that may block. Its place is taken until it is done, even if nobody waits for it any more.
async fn hashing<T: Send + 'static>(
    place: OwnedSemaphorePermit,
    work: impl FnOnce() -> Result<T, argon2::password_hash::Error> + Send + 'static,
) -> Result<T, Problem> {
    let worked = spawn_blocking(move || {
        let done = work();
        drop(place);
        done
    });
    let error = match worked.await {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::error!(error, "a password cannot be hashed");
    Err(Problem::internal())
}

fn busy() -> Problem {
    let detail = "too many passwords are being checked at once; nothing was checked, send the request again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).retry_after(1)
}

fn too_many_attempts(user: &UserKey, wait: time::Duration) -> Problem {
    let UserKey { merchant_id, user_id } = user;
    tracing::warn!(%merchant_id, %user_id, wait_s = wait.whole_seconds(), "too many wrong pay passwords");
    let seconds = u32::try_from(wait.whole_seconds().max(0)).unwrap_or(u32::MAX).saturating_add(1);
    let detail = "too many wrong passwords of this user; none is looked at until then";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail).retry_after(seconds)
}

#[cfg(test)]
mod tests;
