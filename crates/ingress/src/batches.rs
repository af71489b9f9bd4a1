//! Writing a micro-batch: all together, or, if the database refuses that, each item alone.

use events::PayOrderNo;
use storage::Error;
use thiserror::Error;

/// Whether the item was written is unknown, or it was not: whoever sent it must send it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not persisted")]
pub(crate) struct NotPersisted;

/// Writes `items` by one call of `write`, which answers each of them in their order. If the database refuses the statement, one
/// bad item may be the cause: then each is written by a call of its own, so that only the bad one fails. `number_of` names an
/// item in the log by its pay order.
pub(crate) async fn write_batch_or_each<'a, I, O, F>(
    items: &'a [I],
    number_of: impl Fn(&I) -> &PayOrderNo,
    write: impl Fn(&'a [I]) -> F,
) -> Vec<Result<O, NotPersisted>>
where
    F: Future<Output = Result<Vec<O>, Error>>,
{
    match write(items).await {
        Ok(answers) => return answers.into_iter().map(Ok).collect(),
        Err(Error::Rejected(_)) => {}
        Err(error) => {
            tracing::error!(%error, items = items.len(), "a batch was not written");
            return items.iter().map(|_| Err(NotPersisted)).collect();
        }
    }
    let mut answers = Vec::with_capacity(items.len());
    for item in items {
        match write(std::slice::from_ref(item)).await {
            Ok(answer) => answers.extend(answer.into_iter().map(Ok)),
            Err(error) => {
                tracing::error!(%error, pay_order_no = %number_of(item), "the database refuses to write this");
                answers.push(Err(NotPersisted));
            }
        }
    }
    answers
}
