//! A trade of a channel pays one recharge.

use std::collections::BTreeMap;

use events::{ContradictionReason, EventType, PayOrder, PayOrderNo, Purpose, Transition};

use storage::{Error, Transaction};

use super::{trans_no, trans_no_of};
use crate::facts::Job;

/// The pay orders of recharges that trades have paid, by the `trans_no` of their flows.
#[derive(Debug, Default)]
pub(crate) struct Trades(BTreeMap<String, PayOrderNo>);

/// What [`Trades::check`] must know of these facts. Without a recharge to be paid there is no statement. Two transactions that
/// let one trade pay two recharges at the same moment do not see each other here: the ledger refuses the second, which is
/// repeated.
pub(crate) async fn trades(
    tx: &Transaction<'_>,
    orders: &BTreeMap<PayOrderNo, PayOrder>,
    jobs: &[Job],
) -> Result<Trades, Error> {
    let asked = asked_for(orders, jobs);
    if asked.is_empty() {
        return Ok(Trades::default());
    }
    Ok(Trades(ledger::pay_orders_of(tx, &asked).await?))
}

/// The trades that may pay a recharge by these facts.
fn asked_for(orders: &BTreeMap<PayOrderNo, PayOrder>, jobs: &[Job]) -> Vec<String> {
    let mut asked: Vec<_> = jobs
        .iter()
        .filter_map(|job| {
            let order = orders.get(&job.pay_order_no)?;
            let pays =
                order.purpose == Purpose::Recharge && !order.status.is_paid() && job.fact.kind.moves_money();
            let trade = job.fact.channel_trade_no.as_deref()?;
            pays.then(|| trans_no(order.channel.as_str(), trade))
        })
        .collect();
    asked.sort_unstable();
    asked.dedup();
    asked
}

#[cfg(test)]
impl<const N: usize> From<[(String, PayOrderNo); N]> for Trades {
    fn from(paid: [(String, PayOrderNo); N]) -> Self {
        Self(paid.into())
    }
}

impl Trades {
    /// The verdict on a fact, unless a recharge would be paid by the trade that has paid another one.
    pub(crate) fn check(&mut self, verdict: Transition) -> Transition {
        let Transition::Applied(steps) = &verdict else { return verdict };
        let paid = steps
            .iter()
            .find(|step| step.event == Some(EventType::Success) && step.order.purpose == Purpose::Recharge);
        let Some(paid) = paid else { return verdict };
        let payer = &paid.order.pay_order_no;
        let known = self.0.entry(trans_no_of(&paid.order)).or_insert_with(|| payer.clone());
        if known == payer { verdict } else { Transition::Contradiction(ContradictionReason::TradeReused) }
    }
}
