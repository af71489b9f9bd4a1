//! Stripe's events.
//!
//! `Stripe-Signature: t=…,v1=…[,v1=…][,v0=…]` holds HMAC-SHA256 of `{t}.{raw body}` in lower-case hexadecimal digits. The key is the whole
//! `whsec_…` text, not what its base64 means. Any `v1` may match, `v0` never.
//!
//! | `type` | states |
//! |---|---|
//! | `payment_intent.succeeded` | a success of what was received |
//! | `payment_intent.payment_failed` | nothing: the buyer may try again; acknowledged |
//! | `checkout.session.completed` | a success with `payment_status` `paid`; else nothing, for `async_payment_…` follows |
//! | `checkout.session.async_payment_succeeded` | a success |
//! | `checkout.session.async_payment_failed` | a failure |
//! | `charge.refunded` | a refund; `amount_refunded` is all that went back so far; nothing if it was never captured |
//! | `refund.failed`; `refund.updated`, `charge.refund.updated` with `status` `failed` or `canceled` | that a refund is none; unbooked |
//!
//! Other types are acknowledged and ignored, and so are events that name no pay order: an account at Stripe may have payments of
//! others. The number travels in `metadata` under a key that the account may configure, by default `pay_order_no`, or as a Checkout Session's
//! `client_reference_id`, if it looks like one of payrelay's. Only metadata of the payment intent comes along with its refunds.

mod amount;
mod event;
mod kind;
mod secret;
mod simulate;

use events::ChannelAccount;
use time::OffsetDateTime;

pub use kind::Kind;
pub use secret::{BadSecret, Secret};
pub use simulate::{Notice, Sent, sign, simulate};

use crate::config::Fields;
use crate::values::unix_seconds;
use crate::{Answer, Callback, Outcome, Refusal, Request};

/// The code of [`Callback::Unbooked`] for a refund that has failed or was cancelled.
pub const REFUND_FAILED: &str = "refund_failed";
/// The code of [`Callback::Unbooked`] for a subscription that was paid under the number of a pay order.
pub const SUBSCRIPTION_PAID: &str = "subscription_paid";

/// The header with time and signatures.
const SIGNATURE_HEADER: &str = "stripe-signature";
/// How far our clock and the time of a signature may be apart, in seconds.
const TOLERANCE_SECONDS: u64 = 300;
/// Signatures looked at in one header. A rotation needs two; more are a way to make us compute.
const MAX_SIGNATURES: usize = 16;
/// Where `metadata` holds the number of the pay order.
const METADATA_KEY: &str = "pay_order_no";

/// The secrets of an endpoint, several during a rotation, and the name of what holds its pay orders' numbers.
#[derive(Debug)]
pub(crate) struct Stripe {
    secrets: Vec<Secret>,
    metadata_key: String,
}

impl Stripe {
    pub(crate) const KIND: &str = "stripe";

    pub(crate) fn from_fields(fields: &mut Fields<'_>) -> Self {
        Self {
            secrets: fields.keys(["secret", "secrets", "secret_file", "secret_files"]),
            metadata_key: fields.optional_text("metadata_key").unwrap_or_else(|| METADATA_KEY.to_owned()),
        }
    }

    pub(crate) fn verify(
        &self,
        account: &ChannelAccount,
        request: &Request<'_>,
        now: OffsetDateTime,
    ) -> Result<Callback, Refusal> {
        self.check_signature(request, now.unix_timestamp())?;
        event::parse(&self.metadata_key, account, request.body)
    }

    fn check_signature(&self, request: &Request<'_>, now: i64) -> Result<(), Refusal> {
        let name = SIGNATURE_HEADER;
        let header = request.header(name).ok_or(Refusal::MissingHeader { name })?;
        let Signatures { timestamp, timestamp_text, v1 } =
            Signatures::parse(header).ok_or(Refusal::MalformedHeader { name })?;
        if v1.is_empty() {
            return Err(Refusal::NoUsableSignature);
        }
        let distance = now.abs_diff(timestamp);
        match distance {
            0..=TOLERANCE_SECONDS => {}
            _ if timestamp < now => return Err(Refusal::TooOld { age_seconds: distance }),
            _ => return Err(Refusal::TooNew { ahead_seconds: distance }),
        }
        if self.secrets.iter().any(|secret| secret.made_any(&v1, timestamp_text, request.body)) {
            Ok(())
        } else {
            Err(Refusal::BadSignature { detail: "no v1 signature matches".to_owned() })
        }
    }

    /// 2xx stops the channel's retries.
    pub(crate) fn answer(outcome: &Outcome<'_>) -> Answer {
        Answer::by_status(outcome, || Answer {
            status: 200,
            content_type: Some("application/json"),
            body: "{\"received\":true}".to_owned(),
        })
    }
}

/// What the header says.
struct Signatures<'a> {
    timestamp: i64,
    timestamp_text: &'a str,
    v1: Vec<&'a str>,
}

impl<'a> Signatures<'a> {
    /// `None` if it is not a list of names and values with one time.
    fn parse(header: &'a str) -> Option<Self> {
        let entries: Vec<_> = header.split(',').take(MAX_SIGNATURES + 2).collect();
        if entries.len() > MAX_SIGNATURES + 1 {
            return None;
        }
        let pairs: Vec<_> = entries.into_iter().map(|entry| entry.split_once('=')).collect::<Option<_>>()?;
        let of = |sought: &str| {
            pairs.iter().filter(move |(name, _)| *name == sought).map(|(_, value)| *value).collect::<Vec<_>>()
        };
        let [timestamp_text] = of("t").try_into().ok()?;
        Some(Self { timestamp: unix_seconds(timestamp_text)?, timestamp_text, v1: of("v1") })
    }
}
