//! The `standard` channel: Standard Webhooks with a JSON body of our own, for any gateway that has no format yet.
//!
//! ```json
//! {"type": "payment.succeeded", "timestamp": "2026-01-01T00:00:00Z", "data": {"pay_order_no": "P1",
//!  "channel_trade_no": "T1", "amount_minor": 1999, "currency": "CNY", "status": "SUCCESS",
//!  "success_time": "2025-12-31T23:59:58Z"}}
//! ```
//!
//! | `type` | `status` | besides |
//! |---|---|---|
//! | `payment.succeeded` | `SUCCESS` | `channel_trade_no` and `success_time` required |
//! | `payment.failed` | `FAILED` | |
//! | `payment.closed` | `CLOSED` | |
//! | `refund.succeeded` | `REFUNDED` | `channel_trade_no` and `refunded_minor` (cumulative) required; `success_time` is the refund's, by default `timestamp` |
//!
//! `amount_minor` is always the whole amount of the payment. Other types are acknowledged and ignored.

mod body;
mod simulate;

use events::ChannelAccount;
use time::OffsetDateTime;
use webhooks::{Headers, VerifyError, VerifyingKey};

pub use body::Kind;
pub use simulate::{Notice, Sent, sign, simulate};

use crate::config::Fields;
use crate::{Answer, Callback, Outcome, Refusal, Request};

/// The keys of an account; several during a rotation.
#[derive(Debug)]
pub(crate) struct Standard {
    keys: Vec<VerifyingKey>,
}

impl Standard {
    pub(crate) const KIND: &str = "standard";

    pub(crate) fn from_fields(fields: &mut Fields<'_>) -> Self {
        Self { keys: fields.keys(["secret", "secrets", "secret_file", "secret_files"]) }
    }

    pub(crate) fn verify(
        &self,
        account: &ChannelAccount,
        request: &Request<'_>,
        now: OffsetDateTime,
    ) -> Result<Callback, Refusal> {
        let headers = Headers::from_lookup(|name| request.header(name));
        let verified = webhooks::verify(&self.keys, &headers, request.body, now.unix_timestamp())?;
        body::parse(account, verified.id, request.body)
    }

    /// 2xx stops the channel's retries; everything else is repeated by the channel and explained as RFC 9457 tells.
    pub(crate) fn answer(outcome: &Outcome<'_>) -> Answer {
        match outcome {
            Outcome::Accepted | Outcome::Duplicate | Outcome::Ignored => {
                Answer { status: 204, content_type: None, body: String::new() }
            }
            Outcome::Refused(refusal) => {
                let status = if refusal.is_authentic() { 422 } else { 401 };
                problem(status, refusal.code(), &refusal.to_string())
            }
            Outcome::Contradiction(reason) => problem(409, "contradiction", reason.as_str()),
            Outcome::UnknownPayOrder => {
                problem(404, "unknown_pay_order", "there is no pay order of this number")
            }
            Outcome::NotPersisted => problem(503, "not_persisted", "nothing was stored, try again"),
        }
    }
}

fn problem(status: u16, code: &str, detail: &str) -> Answer {
    let body = serde_json::json!({ "type": "about:blank", "status": status, "code": code, "detail": detail });
    Answer { status, content_type: Some("application/problem+json"), body: body.to_string() }
}

impl From<VerifyError> for Refusal {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::TooOld { age_seconds } => Self::TooOld { age_seconds },
            VerifyError::TooNew { ahead_seconds } => Self::TooNew { ahead_seconds },
            VerifyError::MissingHeader(name) => Self::MissingHeader { name },
            VerifyError::MalformedHeader(name) => Self::MalformedHeader { name },
            VerifyError::NoUsableSignature => Self::NoUsableSignature,
            VerifyError::BadSignature => Self::BadSignature { detail: error.to_string() },
        }
    }
}
