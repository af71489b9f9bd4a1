//! Writing new pay orders in micro-batches; one active pay order per order.

use std::collections::HashMap;
use std::time::Duration;

use service::Problem;
use storage::{Batcher, BatcherOptions, Database, Error, Writers};
use tokio::time::timeout;

use crate::batches::{NotPersisted, write_batch_or_each};
use crate::store::new_pay_orders;
use crate::store::pay_orders::StoredPayOrder;

/// Longest wait for the commit; then the client is told to ask again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// What came of a new pay order.
#[derive(Debug, Clone)]
pub(super) enum Created {
    /// It was made.
    New(StoredPayOrder),
    /// The order has this active pay order of the same content.
    Same(StoredPayOrder),
    /// The order has this active pay order of other content.
    Other(StoredPayOrder),
}

type Answer = Result<Option<Created>, NotPersisted>;

/// Writes new pay orders. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct PayOrderWriter {
    batcher: Batcher<StoredPayOrder, Answer>,
}

impl PayOrderWriter {
    /// The writer and its tasks, to be run.
    pub(crate) fn new(database: Database) -> (Self, Writers) {
        let (batcher, writers) =
            Batcher::new(&BatcherOptions::new("pay_orders"), move |new: Vec<StoredPayOrder>| {
                let database = database.clone();
                async move {
                    write_batch_or_each(&new, |new| &new.order.pay_order_no, |new| write(&database, new))
                        .await
                }
            });
        (Self { batcher }, writers)
    }

    /// Writes a pay order unless its order has an active one.
    pub(super) async fn submit(&self, new: StoredPayOrder) -> Result<Created, Problem> {
        match timeout(ANSWER_TIMEOUT, self.batcher.submit(new)).await {
            Ok(Ok(Ok(Some(created)))) => Ok(created),
            // The active one was closed this very moment: the same request succeeds now.
            Ok(Ok(Ok(None))) => {
                Err(Problem::unavailable("the order's pay order is being closed; send the request again"))
            }
            Ok(Ok(Err(NotPersisted)) | Err(_)) | Err(_) => {
                Err(Problem::unavailable("the pay order may not have been written; send the request again"))
            }
        }
    }

    /// Writes what is queued, then ends.
    pub(crate) async fn shutdown(&self) {
        self.batcher.shutdown().await;
    }
}

/// One answer for each of `new`; `None` if its order has no active pay order any more.
async fn write(database: &Database, new: &[StoredPayOrder]) -> Result<Vec<Option<Created>>, Error> {
    let active = database
        .transaction(|tx| {
            Box::pin(async move {
                new_pay_orders::insert(&tx, new).await?;
                fail::fail_point!("pay_orders::before_commit", |_| std::process::abort());
                new_pay_orders::active(&tx, new).await
            })
        })
        .await?;
    fail::fail_point!("pay_orders::after_commit", |_| std::process::abort());
    let active: HashMap<_, _> =
        active.iter().map(|stored| ((&stored.order.merchant_id, &stored.order.order_no), stored)).collect();
    let answers = new.iter().map(|new| {
        let found = (*active.get(&(&new.order.merchant_id, &new.order.order_no))?).clone();
        Some(if found.order.pay_order_no == new.order.pay_order_no {
            Created::New(found)
        } else if same_content(&found, new) {
            Created::Same(found)
        } else {
            Created::Other(found)
        })
    });
    Ok(answers.collect())
}

/// Whether both came from the same request.
pub(crate) fn same_content(found: &StoredPayOrder, new: &StoredPayOrder) -> bool {
    let content = |stored: &StoredPayOrder| {
        let order = &stored.order;
        let expires_in = stored.expires_at - stored.created_at;
        let texts = [&order.subject, &order.attach, &order.notify_url].map(Clone::clone);
        (order.amount, order.channel.clone(), order.purpose, expires_in, texts)
    };
    content(found) == content(new)
}
