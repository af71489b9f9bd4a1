//! What a commit wakes inside this process. Other replicas notice by polling.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use events::PayOrderNo;
use tokio::sync::watch;

/// Wakes the relays and the requests that wait for a pay order.
#[derive(Debug)]
pub(crate) struct Signals {
    outbox: watch::Sender<()>,
    pay_orders: Mutex<HashMap<PayOrderNo, watch::Sender<()>>>,
}

/// A wait for changes of one pay order.
#[derive(Debug)]
pub(crate) struct Watched<'a> {
    signals: &'a Signals,
    pay_order_no: &'a PayOrderNo,
    changes: watch::Receiver<()>,
}

impl Signals {
    pub(crate) fn new() -> Self {
        Self { outbox: watch::Sender::new(()), pay_orders: Mutex::default() }
    }

    /// Events were committed.
    pub(crate) fn outbox_filled(&self) {
        self.outbox.send_replace(());
    }

    /// Sees every [`Self::outbox_filled`] from now on.
    pub(crate) fn watch_outbox(&self) -> watch::Receiver<()> {
        self.outbox.subscribe()
    }

    /// A transition of this pay order was committed.
    pub(crate) fn pay_order_changed(&self, pay_order_no: &PayOrderNo) {
        if let Some(waiting) = self.pay_orders().get(pay_order_no) {
            waiting.send_replace(());
        }
    }

    /// Sees every [`Self::pay_order_changed`] of this pay order from now on.
    pub(crate) fn watch_pay_order<'a>(&'a self, pay_order_no: &'a PayOrderNo) -> Watched<'a> {
        let changes = self
            .pay_orders()
            .entry(pay_order_no.clone())
            .or_insert_with(|| watch::Sender::new(()))
            .subscribe();
        Watched { signals: self, pay_order_no, changes }
    }

    fn pay_orders(&self) -> MutexGuard<'_, HashMap<PayOrderNo, watch::Sender<()>>> {
        // Nobody panics while holding it, and the map would be whole if somebody did.
        self.pay_orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched<'_> {
    /// Returns once the pay order has changed since the last call.
    pub(crate) async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // Unreachable, for the sender stays as long as somebody waits.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        let mut waiting = self.signals.pay_orders();
        // This wait counts itself.
        if waiting.get(self.pay_order_no).is_some_and(|changes| changes.receiver_count() <= 1) {
            waiting.remove(self.pay_order_no);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_wakes_all_who_wait_for_it_and_leaves_nothing_behind() {
        let signals = Signals::new();
        let [first, second] = ["P1", "P2"].map(|number| PayOrderNo::parse(number).unwrap());
        let mut waits = [signals.watch_pay_order(&first), signals.watch_pay_order(&first)];
        let mut other = signals.watch_pay_order(&second);
        signals.pay_order_changed(&first);
        for wait in &mut waits {
            wait.changed().await;
        }
        assert!(futures_util::FutureExt::now_or_never(other.changed()).is_none());
        drop((waits, other));
        assert!(signals.pay_orders().is_empty());
    }
}
