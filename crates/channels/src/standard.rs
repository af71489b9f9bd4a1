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
//! `amount_minor` is always the whole amount of the payment. Other types are acknowledged; those that name a pay order in `data` are
//! kept, for somebody must look, the rest is ignored.

mod body;
mod simulate;

use events::ChannelAccount;
use time::OffsetDateTime;
use webhooks::{Headers, VerifyError, VerifyingKey};

pub use body::Kind;
pub use simulate::{Notice, Sent, sign, simulate};

use crate::config::Fields;
use crate::{Callback, CallbackOutcome, CallbackRefusal, CallbackRequest, ChannelAnswer};

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
        request: &CallbackRequest<'_>,
        now: OffsetDateTime,
    ) -> Result<Callback, CallbackRefusal> {
        let headers = Headers::from_lookup(|name| request.header(name));
        let verified = webhooks::verify(&self.keys, &headers, request.body, now.unix_timestamp())?;
        body::parse(account, verified.id, request.body)
    }

    /// 2xx stops the channel's retries.
    pub(crate) fn answer(outcome: &CallbackOutcome<'_>) -> ChannelAnswer {
        ChannelAnswer::by_status(outcome, || ChannelAnswer {
            status: 204,
            content_type: None,
            body: String::new(),
        })
    }
}

impl From<VerifyError> for CallbackRefusal {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::TooOld { age_seconds } => Self::TooOld { age_seconds },
            VerifyError::TooNew { ahead_seconds } => Self::TooNew { ahead_seconds },
            VerifyError::MissingHeader(name) => Self::MissingHeader { name },
            VerifyError::MalformedHeader { name, expected } => Self::MalformedHeader { name, expected },
            VerifyError::NoUsableSignature => Self::NoUsableSignature,
            VerifyError::BadSignature => Self::BadSignature { detail: error.to_string() },
        }
    }
}
