//! Atomic work, repeated when the server asks for it.

use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Transaction};

use crate::error::is_retryable;
use crate::owned::Owned;
use crate::{Database, Error, stale};

/// How often one transaction is tried in all.
const MAX_ATTEMPTS: u32 = 5;
/// Half of the longest pause before the second attempt; it doubles with each further one.
const PAUSE_MS: u64 = 10;
/// Longest time for one attempt. Above the session's `statement_timeout`, so that the server speaks first when it can.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(40);

/// The transaction inside [`Database::transaction`]: `&tx` is a `&Transaction<'_>`.
///
/// `'env` is the lifetime of what the work borrows from its caller. It stands here because a plain `&Transaction` would
/// forbid the work to borrow anything, and an async closure makes a future that cannot be spawned ("`Send` is not general
/// enough").
#[derive(Debug, Clone, Copy)]
pub struct Tx<'t, 'env: 't> {
    transaction: &'t Transaction<'t>,
    environment: PhantomData<&'t &'env ()>,
}

impl<'t> Deref for Tx<'t, '_> {
    type Target = Transaction<'t>;

    fn deref(&self) -> &Self::Target {
        self.transaction
    }
}

/// What the work of a transaction returns: `Box::pin(async move { … })`.
pub type TransactionFuture<'t, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 't>>;

impl Database {
    /// Runs `work` in a transaction and commits when it is `Ok`; an `Err`, or dropping the future, rolls back.
    ///
    /// A deadlock or serialization failure runs `work` again, at most 5 times in all with short random pauses. A session that
    /// cannot work any more (a read-only server, plans of yesterday) runs it again once. So `work` must have no effect outside
    /// the transaction. It must pass on the error of every statement: PostgreSQL answers the COMMIT after a failed statement
    /// with a silent rollback. A failed COMMIT is [`Error::Unavailable`], its outcome unknown: what `work` writes must be safe
    /// to repeat.
    ///
    /// `E` is the caller's error; `?` on the driver's errors needs `E: From<tokio_postgres::Error>`, as [`Error`] has. The
    /// future is `Send`. What `work` uses is borrowed before, for it may run more than once:
    ///
    /// ```
    /// # async fn example(database: storage::Database, merchant: String) -> Result<i64, storage::Error> {
    /// let merchant = &merchant;
    /// database
    ///     .transaction(|tx| {
    ///         Box::pin(async move {
    ///             let count = tx.prepare_cached("SELECT count(*) FROM pay.pay_orders WHERE merchant_id = $1").await?;
    ///             Ok(tx.query_one(&count, &[merchant]).await?.get(0))
    ///         })
    ///     })
    ///     .await
    /// # }
    /// ```
    pub async fn transaction<'env, T, E, W>(&self, work: W) -> Result<T, E>
    where
        W: for<'t> Fn(Tx<'t, 'env>) -> TransactionFuture<'t, T, E>,
        E: std::error::Error + From<Error> + 'static,
    {
        let (mut attempt, mut renewed) = (1, false);
        loop {
            // Whoever drops this future, or whose time is over, leaves a statement in flight: the next one would wait behind it.
            let mut client = Owned::new(self.client().await?);
            let tried = tokio::time::timeout(ATTEMPT_TIMEOUT, try_once(&mut client, &work)).await;
            if tried.is_ok() {
                drop(client.into_client());
            }
            match tried {
                Ok(Err(error)) if attempt < MAX_ATTEMPTS && is_retryable(&error) => {
                    tracing::debug!(%error, attempt, "transaction is repeated");
                    tokio::time::sleep(pause_after(attempt)).await;
                    attempt += 1;
                }
                // The pool gives out another session now. Once, for that may be as bad.
                Ok(Err(error)) if !renewed && stale::is_mended_by_another_session(&error) => {
                    stale::note(&error);
                    tracing::info!(%error, "transaction is repeated in another session");
                    renewed = true;
                }
                Ok(result) => return result,
                Err(elapsed) => return Err(Error::unavailable(elapsed).into()),
            }
        }
    }
}

async fn try_once<'env, T, E, W>(client: &mut ClientWrapper, work: &W) -> Result<T, E>
where
    W: for<'t> Fn(Tx<'t, 'env>) -> TransactionFuture<'t, T, E>,
    E: From<Error>,
{
    let transaction = client.transaction().await.map_err(Error::from)?;
    let done = work(Tx { transaction: &transaction, environment: PhantomData }).await?;
    transaction.commit().await.map_err(commit_error)?;
    Ok(done)
}

/// A COMMIT that the server refuses for a conflict or a deferred constraint has rolled back; of any other, nobody knows.
fn commit_error(error: tokio_postgres::Error) -> Error {
    if error.code().is_some() { error.into() } else { Error::unavailable(error) }
}

fn pause_after(attempt: u32) -> Duration {
    Duration::from_millis(rand::random_range(1..=PAUSE_MS << attempt))
}
