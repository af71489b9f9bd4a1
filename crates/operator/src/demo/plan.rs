//! What the demo does to each payment: a fixed mixture, so that every run holds every disturbance.

use std::time::Duration;

/// What happens to a payment besides being paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    Plain,
    /// The channel repeats its callback, twice at the same moment.
    Repeated,
    /// The callback of a partial refund overtakes the one of the success.
    RefundFirst,
    /// A failure that the channel had reported before comes in after the success.
    LateFailure,
    /// Somebody forges a callback before the channel's own.
    Forged,
    /// The channel reports another amount: never paid.
    WrongAmount,
    /// The order service does not know the order.
    UnknownOrder,
}

/// A merchant of the demo.
#[derive(Debug, Clone, Copy)]
pub(super) struct MerchantPlan {
    pub(super) id: &'static str,
    pub(super) behaviour: Behaviour,
}

/// How a merchant's endpoint answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// At once.
    Prompt,
    /// With 503 until half of the payments are made.
    DownAtFirst,
    /// After a while.
    Slow(Duration),
}

/// The merchants of the demo.
pub(super) const MERCHANTS: [MerchantPlan; 3] = [
    MerchantPlan { id: "demo-prompt", behaviour: Behaviour::Prompt },
    MerchantPlan { id: "demo-down-at-first", behaviour: Behaviour::DownAtFirst },
    MerchantPlan { id: "demo-slow", behaviour: Behaviour::Slow(Duration::from_millis(400)) },
];

/// One payment to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct PaymentPlan {
    pub(super) index: usize,
    pub(super) kind: Kind,
    pub(super) merchant: MerchantPlan,
}

impl PaymentPlan {
    /// `payments` that will be paid, and a few besides that must not be.
    pub(super) fn all(payments: usize) -> Vec<Self> {
        let paid = (0..payments).map(Self::paid);
        let refused = (payments..payments + payments.div_ceil(200)).map(|index| Self {
            index,
            kind: Kind::WrongAmount,
            merchant: MERCHANTS[0],
        });
        paid.chain(refused).collect()
    }

    fn paid(index: usize) -> Self {
        let kind = match index % 100 {
            0 if index == 0 => Kind::UnknownOrder,
            3 => Kind::Forged,
            7 | 32 | 57 | 82 => Kind::RefundFirst,
            13 | 38 | 63 | 88 => Kind::LateFailure,
            other if other % 10 == 5 => Kind::Repeated,
            _ => Kind::Plain,
        };
        let merchant = match index % 20 {
            11 => MERCHANTS[1],
            17 => MERCHANTS[2],
            _ => MERCHANTS[0],
        };
        Self { index, kind, merchant }
    }

    /// The whole amount in fen; every payment has another, so that a mix-up shows.
    pub(super) fn amount_minor(self) -> i64 {
        1_000 + i64::try_from(self.index).unwrap_or_default()
    }

    /// What is refunded of it, in fen.
    pub(super) fn refunded_minor(self) -> i64 {
        if self.kind == Kind::RefundFirst { self.amount_minor() / 4 } else { 0 }
    }

    /// The merchant's order number.
    pub(super) fn order_no(self) -> String {
        format!("DEMO-{:06}", self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_payments_hold_every_disturbance() {
        let plans = PaymentPlan::all(100);
        let count = |kind| plans.iter().filter(|plan| plan.kind == kind).count();
        assert_eq!(plans.len(), 101);
        let kinds = [
            Kind::Repeated,
            Kind::RefundFirst,
            Kind::LateFailure,
            Kind::Forged,
            Kind::WrongAmount,
            Kind::UnknownOrder,
        ];
        assert_eq!(kinds.map(count), [10, 4, 4, 1, 1, 1]);
        for merchant in MERCHANTS {
            assert!(plans.iter().any(|plan| plan.merchant.id == merchant.id), "{}", merchant.id);
        }
    }
}
