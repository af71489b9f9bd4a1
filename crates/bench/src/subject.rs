//! What is under load: payrelay or the textbook pipeline, by where it listens and how its effects are counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use time::OffsetDateTime;

use crate::book::Book;
use crate::machine::connect;
use crate::payments::CallbackMaker;
use crate::process::until;
use crate::procfs::Group;

/// Without progress for so long, what is missing will not come.
const STALLED: Duration = Duration::from_secs(60);

/// A pipeline under load.
#[derive(Debug)]
pub(crate) struct Subject {
    /// Where callbacks go.
    pub(crate) address: SocketAddr,
    pub(crate) maker: CallbackMaker,
    pub(crate) book: Arc<Book>,
    pub(crate) database_url: String,
    /// Its processes, those of the servers, and the load generator.
    pub(crate) groups: Vec<Group>,
    /// Counts the orders that were marked paid from `$1` until before `$2`.
    pub(crate) paid_between: &'static str,
}

impl Subject {
    /// How many orders were marked paid in a span of the book's time.
    pub(crate) async fn paid(&self, from: Duration, to: Duration) -> Result<u64> {
        let at = |time: Duration| self.book.opened_at() + time;
        self.paid_at(at(from), at(to)).await
    }

    async fn paid_at(&self, from: OffsetDateTime, to: OffsetDateTime) -> Result<u64> {
        let client = connect(&self.database_url).await?;
        let paid: i64 = client.query_one(self.paid_between, &[&from, &to]).await?.try_get(0)?;
        Ok(u64::try_from(paid).unwrap_or_default())
    }

    /// Waits until everything that was accepted is told to its merchant and its order paid.
    pub(crate) async fn settle(&self, limit: Duration) -> Result<()> {
        let book = &self.book;
        let mut best = (0, tokio::time::Instant::now());
        until("end of the backlog", limit, async || {
            let (accepted, delivered) = (book.accepted(), book.delivered());
            if delivered > best.0 {
                best = (delivered, tokio::time::Instant::now());
            }
            anyhow::ensure!(
                delivered == accepted || best.1.elapsed() < STALLED,
                "{delivered} of {accepted} payments were told, and no more for {STALLED:?}"
            );
            Ok(if delivered == accepted { Ok(()) } else { Err(format!("{delivered} of {accepted} told")) })
        })
        .await?;
        until("payment of all orders", STALLED, async || {
            let paid = self.paid(Duration::ZERO, Duration::from_secs(365 * 24 * 60 * 60)).await?;
            let accepted = book.accepted();
            Ok(if paid == accepted { Ok(()) } else { Err(format!("{paid} of {accepted} orders paid")) })
        })
        .await
    }
}
