//! The types of events.

/// The types of events that say something of a pay order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The payment intent was paid.
    PaymentIntentSucceeded,
    /// An attempt failed; another may follow.
    PaymentIntentPaymentFailed,
    /// The buyer has come to the end of a Checkout Session, paid or not.
    CheckoutSessionCompleted,
    /// A payment that was under way when its session was completed has succeeded.
    CheckoutSessionAsyncPaymentSucceeded,
    /// It has failed.
    CheckoutSessionAsyncPaymentFailed,
    /// Money went back to the buyer.
    ChargeRefunded,
    /// Money that was to go back did not: the buyer's bank refused it.
    RefundFailed,
    /// A refund has another state, perhaps that it failed or was cancelled.
    RefundUpdated,
    /// The same under its earlier name.
    ChargeRefundUpdated,
}

impl Kind {
    /// Every type.
    pub const ALL: [Self; 9] = [
        Self::PaymentIntentSucceeded,
        Self::PaymentIntentPaymentFailed,
        Self::CheckoutSessionCompleted,
        Self::CheckoutSessionAsyncPaymentSucceeded,
        Self::CheckoutSessionAsyncPaymentFailed,
        Self::ChargeRefunded,
        Self::RefundFailed,
        Self::RefundUpdated,
        Self::ChargeRefundUpdated,
    ];

    /// The value of `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PaymentIntentSucceeded => "payment_intent.succeeded",
            Self::PaymentIntentPaymentFailed => "payment_intent.payment_failed",
            Self::CheckoutSessionCompleted => "checkout.session.completed",
            Self::CheckoutSessionAsyncPaymentSucceeded => "checkout.session.async_payment_succeeded",
            Self::CheckoutSessionAsyncPaymentFailed => "checkout.session.async_payment_failed",
            Self::ChargeRefunded => "charge.refunded",
            Self::RefundFailed => "refund.failed",
            Self::RefundUpdated => "refund.updated",
            Self::ChargeRefundUpdated => "charge.refund.updated",
        }
    }
}
