//! Stripe's side, for simulators and tests.

use events::{Money, PayOrderNo};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::amount::from_money;
use super::{Kind, METADATA_KEY, SIGNATURE_HEADER, Secret};

/// What Stripe has to say about one pay order.
#[derive(Debug, Clone)]
pub struct Notice {
    /// What happened.
    pub kind: Kind,
    /// The pay order meant.
    pub pay_order_no: PayOrderNo,
    /// The payment intent, as `pi_1`.
    pub payment_intent: String,
    /// The whole amount of the payment.
    pub amount: Money,
    /// When it happened; fractions of seconds are not told.
    pub at: OffsetDateTime,
    /// A session's `payment_status`, as `paid` or `unpaid`, or a refund's `status`, as `failed`.
    pub payment_status: String,
    /// All that was refunded so far, in minor units; for refunds only.
    pub refunded_minor: Option<i64>,
}

/// A signed event, ready to be posted.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Time and signature of this attempt.
    pub signature: String,
    /// The JSON body.
    pub body: String,
}

impl Sent {
    /// Names and values of the headers to post with the body.
    pub fn headers(&self) -> [(&'static str, &str); 2] {
        [("content-type", "application/json; charset=utf-8"), (SIGNATURE_HEADER, &self.signature)]
    }
}

/// The event by which Stripe tells `notice`, in an attempt made `now`; `None` for an amount that Stripe cannot state.
pub fn simulate(notice: &Notice, event_id: &str, secret: &Secret, now: OffsetDateTime) -> Option<Sent> {
    let event = json!({
        "id": event_id,
        "object": "event",
        "created": notice.at.unix_timestamp(),
        "data": { "object": object(notice)? },
        "type": notice.kind.as_str(),
    });
    Some(sign(event.to_string(), secret, now))
}

/// Signs a body of any content, also one that Stripe would never send.
pub fn sign(body: String, secret: &Secret, now: OffsetDateTime) -> Sent {
    let timestamp = now.unix_timestamp().to_string();
    let signature = format!("t={timestamp},v1={}", secret.sign(&timestamp, body.as_bytes()));
    Sent { signature, body }
}

fn object(notice: &Notice) -> Option<Value> {
    let amount = from_money(notice.amount).ok()?;
    let currency = notice.amount.currency.code().to_ascii_lowercase();
    let metadata = json!({ METADATA_KEY: notice.pay_order_no });
    Some(match notice.kind {
        Kind::PaymentIntentSucceeded | Kind::PaymentIntentPaymentFailed => json!({
            "id": notice.payment_intent,
            "object": "payment_intent",
            "amount": amount,
            "amount_received": if notice.kind == Kind::PaymentIntentSucceeded { amount } else { 0 },
            "currency": currency,
            "metadata": metadata,
        }),
        Kind::CheckoutSessionCompleted
        | Kind::CheckoutSessionAsyncPaymentSucceeded
        | Kind::CheckoutSessionAsyncPaymentFailed => json!({
            "id": "cs_1",
            "object": "checkout.session",
            "amount_total": amount,
            "currency": currency,
            "payment_status": notice.payment_status,
            "payment_intent": notice.payment_intent,
            "client_reference_id": notice.pay_order_no,
            "metadata": {},
        }),
        Kind::ChargeRefunded => {
            let refunded = Money::new(notice.refunded_minor?, notice.amount.currency);
            json!({
                "id": "ch_1",
                "object": "charge",
                "amount": amount,
                "amount_captured": amount,
                "amount_refunded": from_money(refunded).ok()?,
                "currency": currency,
                "payment_intent": notice.payment_intent,
                "metadata": metadata,
            })
        }
        Kind::RefundFailed | Kind::RefundUpdated | Kind::ChargeRefundUpdated => json!({
            "id": "re_1",
            "object": "refund",
            "amount": amount,
            "currency": currency,
            "payment_intent": notice.payment_intent,
            "status": notice.payment_status,
            "metadata": {},
        }),
    })
}
