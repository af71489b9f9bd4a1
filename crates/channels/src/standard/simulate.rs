//! The channel's side of the `standard` format, for simulators and tests.

use events::{Money, PayOrderNo};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use webhooks::{ID_HEADER, SIGNATURE_HEADER, Secret, SignError, TIMESTAMP_HEADER};

use super::Kind;

/// What a channel has to say about one pay order.
#[derive(Debug, Clone)]
pub struct Notice {
    /// What happened.
    pub kind: Kind,
    /// The pay order meant.
    pub pay_order_no: PayOrderNo,
    /// The channel's own number of the trade.
    pub channel_trade_no: String,
    /// The whole amount of the payment.
    pub amount: Money,
    /// When it happened.
    pub at: OffsetDateTime,
    /// All that was refunded so far, in minor units; for refunds only.
    pub refunded_minor: Option<i64>,
}

/// A signed callback, ready to be posted.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The webhook id, the same for every attempt.
    pub webhook_id: String,
    /// The time of this attempt, in seconds since 1970.
    pub timestamp: String,
    /// The signature header.
    pub signature: String,
    /// The JSON body.
    pub body: String,
}

impl Sent {
    /// Names and values of the headers to post with the body.
    pub fn headers(&self) -> [(&'static str, &str); 4] {
        [
            ("content-type", "application/json"),
            (ID_HEADER, &self.webhook_id),
            (TIMESTAMP_HEADER, &self.timestamp),
            (SIGNATURE_HEADER, &self.signature),
        ]
    }
}

/// The callback by which a `standard` channel tells `notice`, in an attempt made `now`.
pub fn simulate(
    notice: &Notice,
    webhook_id: &str,
    secret: &Secret,
    now: OffsetDateTime,
) -> Result<Sent, SignError> {
    let body = json!({
        "type": notice.kind.as_str(),
        "timestamp": rfc3339(notice.at),
        "data": {
            "pay_order_no": notice.pay_order_no,
            "channel_trade_no": notice.channel_trade_no,
            "amount_minor": notice.amount.amount_minor,
            "currency": notice.amount.currency,
            "status": notice.kind.status(),
            "success_time": rfc3339(notice.at),
            "refunded_minor": notice.refunded_minor,
        }
    });
    sign(body.to_string(), webhook_id, secret, now)
}

/// Signs a body of any content, also one that no honest channel would send.
pub fn sign(body: String, webhook_id: &str, secret: &Secret, now: OffsetDateTime) -> Result<Sent, SignError> {
    let timestamp = now.unix_timestamp();
    let signature = webhooks::sign(std::slice::from_ref(secret), webhook_id, timestamp, body.as_bytes())?;
    Ok(Sent { webhook_id: webhook_id.to_owned(), timestamp: timestamp.to_string(), signature, body })
}

/// `null` for a year that RFC 3339 cannot write.
fn rfc3339(time: OffsetDateTime) -> Option<String> {
    time.format(&Rfc3339).ok()
}
