//! The codes of [`Callback::Unbooked`](crate::Callback::Unbooked). Each stands in the alert for what cannot be booked.

/// A refund of which was told has failed, or was cancelled.
pub const REFUND_FAILED: &str = "refund_failed";
/// A refund that was asked for could not be made; the money is still here.
pub const REFUND_ABNORMAL: &str = "refund_abnormal";
/// A refund that was asked for was closed; the money is still here.
pub const REFUND_CLOSED: &str = "refund_closed";
/// A subscription was paid under the number of a pay order.
pub const SUBSCRIPTION_PAID: &str = "subscription_paid";
/// A pay order was completed without a payment, as by a coupon of its whole amount.
pub const NO_PAYMENT_REQUIRED: &str = "no_payment_required";
/// A pay order was charged in a way that its success is not read from.
pub const CHARGE_WITHOUT_INTENT: &str = "charge_without_intent";
/// The buyer disputes a payment: money may have gone back already.
pub const DISPUTE: &str = "dispute";
/// The buyer complains at the channel.
pub const COMPLAINT: &str = "complaint";
/// Something else about a pay order, which pay orders do not know.
pub const UNKNOWN_EVENT: &str = "unknown_event";

/// All of them.
pub const ALL: [&str; 9] = [
    REFUND_FAILED,
    REFUND_ABNORMAL,
    REFUND_CLOSED,
    SUBSCRIPTION_PAID,
    NO_PAYMENT_REQUIRED,
    CHARGE_WITHOUT_INTENT,
    DISPUTE,
    COMPLAINT,
    UNKNOWN_EVENT,
];
