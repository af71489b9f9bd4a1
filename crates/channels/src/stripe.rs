//! Stripe's events.
//!
//! `Stripe-Signature: t=…,v1=…[,v1=…][,v0=…]` holds HMAC-SHA256 of `{t}.{raw body}` in lower-case hexadecimal digits. The key is the whole
//! `whsec_…` text, not what its base64 means. Any `v1` may match, `v0` never.
//!
//! | `type` | states |
//! |---|---|
//! | `payment_intent.succeeded` | a success of what was received |
//! | `payment_intent.payment_failed` | nothing: the buyer may try again; acknowledged |
//! | `checkout.session.completed` | a success with `payment_status` `paid`; with `unpaid` nothing, for `async_payment_…` follows; with `no_payment_required` that nobody pays, as by a coupon; unbooked |
//! | `checkout.session.async_payment_succeeded` | a success |
//! | `checkout.session.async_payment_failed` | a failure |
//! | `charge.refunded` | a refund; `amount_refunded` is all that went back so far; nothing if it was never captured |
//! | `refund.failed`; `refund.updated`, `charge.refund.updated` with `status` `failed` or `canceled` | that a refund is none; unbooked |
//! | `charge.dispute.…` | that the buyer wants the money back, and may have it; unbooked |
//!
//! Of other types those that name a pay order are unbooked, unless they are no result or another event tells it (`NO_RESULT`). Events that name
//! none are acknowledged and ignored: an account at Stripe may have payments of others. The number travels in `metadata` under a key that the account may configure, by default `pay_order_no`, or as a Checkout Session's
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
use crate::{Callback, CallbackOutcome, CallbackRefusal, CallbackRequest, ChannelAnswer};

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
        request: &CallbackRequest<'_>,
        now: OffsetDateTime,
    ) -> Result<Callback, CallbackRefusal> {
        self.check_signature(request, now.unix_timestamp())?;
        event::parse(&self.metadata_key, account, request.body)
    }

    fn check_signature(&self, request: &CallbackRequest<'_>, now: i64) -> Result<(), CallbackRefusal> {
        let name = SIGNATURE_HEADER;
        let header = request.header(name).ok_or(CallbackRefusal::MissingHeader { name })?;
        let Signatures { timestamp, timestamp_text, v1 } = Signatures::parse(header)
            .map_err(|expected| CallbackRefusal::MalformedHeader { name, expected })?;
        if v1.is_empty() {
            return Err(CallbackRefusal::NoUsableSignature);
        }
        let distance = now.abs_diff(timestamp);
        match distance {
            0..=TOLERANCE_SECONDS => {}
            _ if timestamp < now => return Err(CallbackRefusal::TooOld { age_seconds: distance }),
            _ => return Err(CallbackRefusal::TooNew { ahead_seconds: distance }),
        }
        if self.secrets.iter().any(|secret| secret.made_any(&v1, timestamp_text, request.body)) {
            Ok(())
        } else {
            Err(CallbackRefusal::BadSignature { detail: "no v1 signature matches".to_owned() })
        }
    }

    /// 2xx stops the channel's retries.
    pub(crate) fn answer(outcome: &CallbackOutcome<'_>) -> ChannelAnswer {
        ChannelAnswer::by_status(outcome, || ChannelAnswer {
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
    /// Reads a list of names and values (RFC 9110, section 5.6.1: white space around an element and empty ones do not count), of which other
    /// schemes than `v1` are passed over. The error is what was expected.
    fn parse(header: &'a str) -> Result<Self, &'static str> {
        let elements = || header.split(',').map(|element| element.trim_matches([' ', '\t']));
        let of = |sought: &'static str| {
            let named = elements()
                .filter_map(move |element| element.split_once('=').filter(|(name, _)| *name == sought));
            named.map(|(_, value)| value)
        };
        let mut times = of("t");
        let timestamp_text = times.next().ok_or("t=… with the time of the signature")?;
        if times.next().is_some() {
            return Err("one t=…, several are ambiguous");
        }
        let timestamp = unix_seconds(timestamp_text).ok_or("t=… in digits, seconds since 1970")?;
        let v1: Vec<_> = of("v1").take(MAX_SIGNATURES + 1).collect();
        if v1.len() > MAX_SIGNATURES {
            return Err("at most 16 v1=…");
        }
        Ok(Self { timestamp, timestamp_text, v1 })
    }
}
