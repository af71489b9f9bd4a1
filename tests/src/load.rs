//! Payments in full flow.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use channels::standard::Kind;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::shop::Shop;
use crate::until;

/// Shoppers at a time, for each shop.
const SHOPPERS: usize = 6;
/// Between two payments of one shopper, so that slow machines still finish.
const PAUSE: Duration = Duration::from_millis(100);

/// A payment of which the channel was told that it is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// The merchant's order.
    pub order_no: String,
    /// The pay order that paid it.
    pub pay_order_no: String,
    /// The whole amount; every payment of a load has another, so that a mix-up shows.
    pub amount_minor: i64,
    /// What was refunded of it.
    pub refunded_minor: i64,
}

impl Payment {
    /// The events that its merchant is to be told, each once.
    pub fn event_types(&self) -> &'static [&'static str] {
        if self.refunded_minor > 0 { &["pay.success", "pay.refunded"] } else { &["pay.success"] }
    }
}

/// Shoppers who pay until they are stopped. Some callbacks come twice at once, some payments are refunded in part.
#[derive(Debug)]
pub struct Load {
    done: Arc<Mutex<Vec<Payment>>>,
    closing: CancellationToken,
    shoppers: JoinSet<()>,
}

impl Load {
    /// Starts paying at this shop, orders numbered `{prefix}-{index}`.
    pub fn start(shop: &Shop, prefix: &'static str) -> Self {
        let mut load =
            Self { done: Arc::default(), closing: CancellationToken::new(), shoppers: JoinSet::new() };
        for shopper in 0..SHOPPERS {
            let (shop, done, closing) = (shop.clone(), Arc::clone(&load.done), load.closing.clone());
            load.shoppers.spawn(async move {
                for index in (shopper..).step_by(SHOPPERS).take_while(|_| !closing.is_cancelled()) {
                    let payment = pay(&shop, format!("{prefix}-{index}"), index).await;
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(payment);
                    sleep(PAUSE).await;
                }
            });
        }
        load
    }

    /// Waits until this many more payments have been made.
    pub async fn more(&mut self, payments: usize) {
        let wanted = self.count() + payments;
        until("flow of payments", async || {
            if let Some(ended) = self.shoppers.try_join_next() {
                ended.expect("a shopper");
            }
            let made = self.count();
            if made >= wanted { Ok(()) } else { Err(format!("{made} of {wanted} payments")) }
        })
        .await;
    }

    /// Lets the shoppers finish, and returns every payment made.
    pub async fn finish(mut self) -> Vec<Payment> {
        self.closing.cancel();
        while let Some(ended) = self.shoppers.join_next().await {
            ended.expect("a shopper");
        }
        std::mem::take(&mut self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn count(&self) -> usize {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

async fn pay(shop: &Shop, order_no: String, index: usize) -> Payment {
    let amount_minor = 1_000 + i64::try_from(index).expect("few payments");
    shop.create_order(&order_no, amount_minor).await;
    let pay_order_no = shop.create_pay_order(&order_no, amount_minor).await;
    let success = shop.notice(Kind::PaymentSucceeded, &pay_order_no, amount_minor);
    let refunded_minor = if index % 7 == 3 { amount_minor / 4 } else { 0 };
    if index % 5 == 1 {
        tokio::join!(shop.tell_until_taken(&success), shop.tell_until_taken(&success));
    } else {
        shop.tell_until_taken(&success).await;
    }
    if refunded_minor > 0 {
        let mut refund = shop.notice(Kind::RefundSucceeded, &pay_order_no, amount_minor);
        refund.refunded_minor = Some(refunded_minor);
        shop.tell_until_taken(&refund).await;
    }
    Payment { order_no, pay_order_no, amount_minor, refunded_minor }
}
