//! The order service's side: an order shows the payment of its pay order, once.

use super::{SUCCESS, Told, Verdict, is_paid};
use crate::history::{Payment, Seen, SeenOrder, Source};

/// Orders are split between two shops.
const PARTS: usize = 2;

impl Verdict {
    pub(super) fn order(&mut self, payment: &Payment, told: &Told, seen: &Seen) {
        let order_no = &payment.order_no;
        let is_known = payment.pay_order_no.is_some();
        let Some(order) = &seen.order else {
            if is_known && payment.source != Source::Stranger {
                self.lost(order_no, "the order is gone");
            }
            return;
        };
        let (must_be_paid, may_be_paid) = match (payment.source, &seen.pay_order) {
            (Source::Channel, Some(shown)) => (is_paid(shown), is_paid(shown)),
            (Source::Channel, None) => (false, false),
            (Source::Upstream, _) => {
                (told.must.contains(&SUCCESS), told.must.contains(&SUCCESS) || told.may.contains(&SUCCESS))
            }
            (Source::Stranger, _) => {
                return self.unexpected(order_no, format!("an order that nobody made: {order:?}"));
            }
        };
        if order.status == "AWAITING_PAYMENT" {
            if must_be_paid {
                self.lost(order_no, format!("its pay order is paid, but it is {order:?}"));
            }
        } else if may_be_paid {
            let refunded_minor = seen.pay_order.as_ref().map_or(0, |shown| shown.refunded_minor);
            self.paid(payment, order, refunded_minor);
        } else {
            self.unexpected(order_no, format!("nobody paid it, and yet it is {order:?}"));
        }
    }

    fn paid(&mut self, payment: &Payment, order: &SeenOrder, refunded_minor: i64) {
        let order_no = &payment.order_no;
        let status = match refunded_minor {
            0 => "PAID",
            all if all == payment.amount_minor => "REFUNDED",
            _ => "PARTIALLY_REFUNDED",
        };
        if order.refunded_minor < refunded_minor {
            self.lost(order_no, format!("{refunded_minor} was refunded, but it is {order:?}"));
        } else if order.refunded_minor > refunded_minor || order.status != status {
            self.doubled(order_no, format!("expected {status} with {refunded_minor} refunded: {order:?}"));
        }
        if order.split_minor.len() != PARTS || order.split_minor.iter().sum::<i64>() != payment.amount_minor {
            self.doubled(order_no, format!("expected {PARTS} parts of {}: {order:?}", payment.amount_minor));
        }
        if order.paid_by != payment.pay_order_no {
            self.unexpected(order_no, format!("expected it paid by {:?}: {order:?}", payment.pay_order_no));
        }
    }
}
